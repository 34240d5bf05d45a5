package jsonschema

import (
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A graph says which schemas are asked about the same value (in place) and which about the values
// inside it.
type graph map[*tree.Node][]edge

type edge struct {
	to      *tree.Node
	inPlace bool
	slot    string // about which child: "p:name" or "i:3"; "p:" and "i:" stand for every child
}

func (g graph) add(from, to *tree.Node, keyword, name string, inPlace bool) {
	e := edge{to: to, inPlace: inPlace}
	switch keyword {
	case "$defs", "definitions":
		return // visited through $ref only
	case "properties":
		e.slot = "p:" + name
	case "prefixItems":
		e.slot = "i:" + name
	case "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames":
		e.slot = "p:"
	case "items", "contains", "unevaluatedItems":
		e.slot = "i:"
	}
	g[from] = append(g[from], e)
}

// widest returns a schema because of which too many subschemas look at one value, and how many do,
// or one that looks at the same value without end, and 0; nil if there is neither.
func (g graph) widest(nodes []*tree.Node) (at *tree.Node, looks int) {
	const open = -1
	counts := map[*tree.Node]int{}
	var visit func(n *tree.Node) int
	visit = func(n *tree.Node) int {
		if count, seen := counts[n]; seen {
			if count == open && at == nil {
				at = n
			}
			return max(count, 1)
		}
		counts[n] = open
		count := 1
		for _, e := range g[n] {
			if e.inPlace {
				count = min(count+visit(e.to), maxInPlace+1)
			}
		}
		counts[n] = count
		if count > maxInPlace && at == nil {
			at, looks = n, count
		}
		return count
	}
	for _, n := range nodes {
		visit(n)
	}
	return at, looks
}

// A view is what happens when a schema looks at a value: how many subschemas do, and, for each
// child that the schema can tell apart, which schemas look at that child, as often as they are
// listed.
type view struct {
	looks    int
	children [][]int // indexes of views
}

// maxDepth returns how many levels an instance may have so that at most 50,000 looks are taken
// along any path into it. The engine does not stop at the first branch that matches: a schema that
// looks at each child twice looks 2^d times at depth d. It also limits schemas that look once,
// because the cost of wording an error is cubic in the depth. It reports false if the budget does
// not suffice to find out.
func (g graph) maxDepth(root *tree.Node, budget *Budget) (levels int, known bool) {
	const (
		deepest = 64
		most    = 50_000
	)
	views := g.views(root, budget)
	if budget.looks < 0 {
		return 0, false
	}
	looks := make([]int, len(views)) // of each view at a value that is `depth` levels deep
	next := make([]int, len(views))
	for depth := range deepest {
		for i, v := range views {
			widest := 0
			for _, child := range v.children {
				sum := 0
				if depth > 0 {
					for _, to := range child {
						sum += looks[to]
					}
				}
				widest = max(widest, sum)
			}
			next[i] = min(v.looks+widest, most+1)
		}
		looks, next = next, looks
		if looks[0] > most {
			return max(1, depth), true
		}
	}
	return deepest, true
}

// views computes the view of root, which is the first, and of every schema that it leads to. It
// stops early if the budget is spent.
func (g graph) views(root *tree.Node, budget *Budget) []view {
	index := map[*tree.Node]int{root: 0}
	queue := []*tree.Node{root}
	var views []view
	for i := 0; i < len(queue) && budget.looks >= 0; i++ {
		slots := map[string][]int{}
		v := view{}
		var collect func(n *tree.Node)
		collect = func(n *tree.Node) {
			v.looks++
			if budget.looks--; budget.looks < 0 {
				return
			}
			for _, e := range g[n] {
				if e.inPlace {
					collect(e.to)
					continue
				}
				to, known := index[e.to]
				if !known {
					to = len(queue)
					index[e.to] = to
					queue = append(queue, e.to)
				}
				slots[e.slot] = append(slots[e.slot], to)
			}
		}
		collect(queue[i])
		for slot, children := range slots {
			if len(slot) > 2 {
				children = append(children, slots[slot[:2]]...)
			}
			v.children = append(v.children, children)
		}
		views = append(views, v)
	}
	return views
}
