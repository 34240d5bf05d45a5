// Package fast checks JSON text against the common part of JSON Schema without decoding it.
//
// It only ever says yes. "Yes" means that the text is strict JSON (unique names, UTF-8) which the schema allows; anything
// else means "ask the engine", which also words what is wrong. So a keyword that is not known here, an escape in a name or
// a number with an exponent costs time, and never correctness.
package fast

import (
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// A Schema checks texts. It is immutable and safe for concurrent use.
type Schema struct {
	root     *node
	maxDepth int
}

// Compile returns a checker for a schema, given as decoded JSON, and for instances of at most maxDepth levels. It returns
// nil if the schema uses anything that this package does not know.
func Compile(schema any, maxDepth int) *Schema {
	c := compiler{document: schema, nodes: map[string]*node{}}
	root := c.compile(schema)
	if c.unknown {
		return nil
	}
	return &Schema{root: root, maxDepth: maxDepth}
}

// A kind is a set of JSON types. Integers are numbers, not a type of their own.
type kind uint8

const (
	null kind = 1 << iota
	boolean
	number
	text
	array
	object
	anyKind = null | boolean | number | text | array | object
)

// A node is one schema. The zero limits of min are "none", those of max are too: see newNode.
type node struct {
	kinds    kind
	integral bool // numbers must be whole

	low, high float64 // bounds of numbers, whole numbers within ±2^53

	minLength, maxLength int // of text, in characters
	pattern              *regexp.Regexp
	floating             bool // pattern does not look at what surrounds a match

	items              *node
	minItems, maxItems int

	properties         []property
	required           uint64   // bits: indexes of properties
	oneOf              []uint64 // exactly one of these sets must be complete; nil if not used
	others             *node    // of members not in properties; nil forbids them
	minProps, maxProps int

	values *values // nil unless enum or const
	all    []*node // must allow the value too
	anyOf  []*node // one of them must; nil if not used
}

type property struct {
	name   string
	schema *node
}

// values are the constants that enum and const list.
type values struct {
	texts   []string
	numbers []float64
	kinds   kind // null if it is listed
	bools   [2]bool
}

const maxWhole = 1 << 53 // up to here, a float64 is as exact as the text it came from

func newNode() *node {
	return &node{kinds: anyKind, low: math.Inf(-1), high: math.Inf(1), maxLength: math.MaxInt, maxItems: math.MaxInt, maxProps: math.MaxInt}
}

// anything allows every value.
var anything = func() *node {
	n := newNode()
	n.items, n.others = n, n
	return n
}()

type compiler struct {
	document any
	nodes    map[string]*node // by reference, so that recursion ends
	unknown  bool
}

func (c *compiler) giveUp() *node {
	c.unknown = true
	return anything
}

func (c *compiler) compile(schema any) *node {
	switch schema := schema.(type) {
	case bool:
		if schema {
			return anything
		}
		never := newNode()
		never.kinds = 0
		return never
	case map[string]any:
		n := newNode()
		n.items, n.others = anything, anything
		for keyword, value := range schema {
			c.keyword(n, schema, keyword, value)
		}
		c.properties(n, schema)
		return n
	}
	return c.giveUp()
}

func (c *compiler) keyword(n *node, schema map[string]any, keyword string, value any) {
	switch keyword {
	case "type":
		c.types(n, value)
	case "enum":
		list, _ := value.([]any)
		c.constants(n, list)
	case "const":
		c.constants(n, []any{value})
	case "minimum":
		n.low = max(n.low, c.whole(value))
	case "maximum":
		n.high = min(n.high, c.whole(value))
	case "minLength":
		n.minLength = c.count(value)
	case "maxLength":
		n.maxLength = c.count(value)
	case "pattern":
		c.pattern(n, value)
	case "items":
		n.items = c.compile(value)
	case "minItems":
		n.minItems = c.count(value)
	case "maxItems":
		n.maxItems = c.count(value)
	case "minProperties":
		n.minProps = c.count(value)
	case "maxProperties":
		n.maxProps = c.count(value)
	case "additionalProperties":
		if n.others = c.compile(value); value == false {
			n.others = nil
		}
	case "allOf":
		n.all = append(n.all, c.list(value)...)
	case "anyOf":
		n.anyOf = c.list(value)
	case "$ref":
		n.all = append(n.all, c.reference(value))
	case "properties", "required", "oneOf": // once, together: see properties
	case "$schema", "$defs", "definitions", "title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly":
	default:
		if !strings.HasPrefix(keyword, "x-") {
			c.giveUp()
		}
	}
}

func (c *compiler) types(n *node, value any) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	n.kinds = 0
	for _, name := range list {
		switch name {
		case "null":
			n.kinds |= null
		case "boolean":
			n.kinds |= boolean
		case "number":
			n.kinds |= number
		case "integer":
			n.kinds |= number
			n.integral = true
		case "string":
			n.kinds |= text
		case "array":
			n.kinds |= array
		case "object":
			n.kinds |= object
		default:
			c.giveUp()
		}
	}
	if slices.Contains(list, any("number")) {
		n.integral = false
	}
}

// constants takes scalar values; two of these keywords in one schema are left to the engine.
func (c *compiler) constants(n *node, list []any) {
	if n.values != nil || len(list) == 0 {
		c.giveUp()
		return
	}
	n.values = &values{}
	for _, value := range list {
		switch value := value.(type) {
		case string:
			n.values.texts = append(n.values.texts, value)
		case float64:
			n.values.numbers = append(n.values.numbers, c.whole(value))
		case bool:
			if value {
				n.values.bools[1] = true
			} else {
				n.values.bools[0] = true
			}
		case nil:
			n.values.kinds |= null
		default:
			c.giveUp()
		}
	}
}

func (c *compiler) pattern(n *node, value any) {
	expression, _ := value.(string)
	compiled, err := regexp.Compile(expression)
	if err != nil {
		c.giveUp()
		return
	}
	n.pattern = compiled
	parsed, err := syntax.Parse(expression, syntax.Perl)
	n.floating = err == nil && !looksAround(parsed)
}

// looksAround reports whether an expression has anchors or word boundaries.
func looksAround(e *syntax.Regexp) bool {
	switch e.Op {
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(e.Sub, looksAround)
}

// properties joins properties, required and oneOf: a name that is required somewhere has a bit, whether or not it has a
// schema.
func (c *compiler) properties(n *node, schema map[string]any) {
	members, ok := schema["properties"].(map[string]any)
	if _, stated := schema["properties"]; stated && !ok {
		c.giveUp()
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n.properties = append(n.properties, property{name, c.compile(members[name])})
	}
	if required, stated := schema["required"]; stated {
		n.required = c.set(n, required)
	}
	if branches, stated := schema["oneOf"]; stated {
		c.choices(n, branches)
	}
	if len(n.properties) > 64 {
		c.giveUp()
	}
}

// set returns the bits of a list of names.
func (c *compiler) set(n *node, required any) (bits uint64) {
	list, ok := required.([]any)
	if !ok {
		c.giveUp()
	}
	for _, value := range list {
		name, _ := value.(string)
		at := slices.IndexFunc(n.properties, func(p property) bool { return p.name == name })
		if at < 0 {
			at = len(n.properties)
			if n.others == nil {
				c.giveUp() // required and forbidden
				return 0
			}
			n.properties = append(n.properties, property{name, n.others})
		}
		bits |= 1 << at
	}
	return bits
}

// choices takes oneOf if its branches do nothing but require members. Other branches are left to the engine: here "no"
// does not mean that a branch refuses the value.
func (c *compiler) choices(n *node, branches any) {
	list, ok := branches.([]any)
	if !ok || len(list) == 0 {
		c.giveUp()
	}
	for _, value := range list {
		branch, _ := value.(map[string]any)
		required, stated := branch["required"]
		if !stated || len(branch) != 1 {
			c.giveUp()
			return
		}
		n.oneOf = append(n.oneOf, c.set(n, required))
	}
	n.kinds &= object // what is no object satisfies all branches
}

func (c *compiler) list(value any) []*node {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		c.giveUp()
	}
	nodes := make([]*node, len(list))
	for i, schema := range list {
		nodes[i] = c.compile(schema)
	}
	return nodes
}

// reference follows "#" and "#/..." inside the document.
func (c *compiler) reference(value any) *node {
	ref, _ := value.(string)
	if n, ok := c.nodes[ref]; ok {
		return n
	}
	path, ok := strings.CutPrefix(ref, "#")
	if !ok || strings.ContainsRune(path, '%') {
		return c.giveUp()
	}
	target := c.document
	for token := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if path == "" {
			break
		}
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch parent := target.(type) {
		case map[string]any:
			target, ok = parent[token]
		case []any:
			i, err := strconv.Atoi(token)
			if ok = err == nil && i >= 0 && i < len(parent); ok {
				target = parent[i]
			}
		default:
			ok = false
		}
		if !ok {
			return c.giveUp()
		}
	}
	n := &node{}
	c.nodes[ref] = n
	*n = *c.compile(target)
	return n
}

// whole takes numbers that a float64 holds exactly.
func (c *compiler) whole(value any) float64 {
	f, ok := value.(float64)
	if !ok || f != math.Trunc(f) || math.Abs(f) > maxWhole {
		c.giveUp()
	}
	return f
}

func (c *compiler) count(value any) int {
	f := c.whole(value)
	if f < 0 || f > math.MaxInt32 {
		c.giveUp()
		return 0
	}
	return int(f)
}
