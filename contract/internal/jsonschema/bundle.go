package jsonschema

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// maxFiles bounds how many files one schema may refer to.
const maxFiles = 32

// Bundle returns root with the files that its references name brought in under $defs, so that no reference leaves the
// schema. Files are named by slash-separated paths; file is that of root, and references are relative to the file they
// stand in. open reads a file, or says why it cannot.
func Bundle(root *tree.Node, file string, open func(ref *tree.Node, file string) (*tree.Node, *Problem)) (*tree.Node, []Problem) {
	b := &bundler{open: open, main: file, taken: map[string]bool{}, files: map[string]string{file: ""}}
	if defs := root.Get("$defs"); defs.Is(tree.Map) {
		for _, m := range defs.Members {
			b.taken[m.Key] = true
		}
	}
	bundled := b.rewrite(root, file)
	for len(b.queue) > 0 && len(b.problems) == 0 {
		next := b.queue[0]
		b.queue = b.queue[1:]
		b.bring(next)
	}
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	if len(b.defs) > 0 {
		defs := b.defs
		if own := bundled.Get("$defs"); own.Is(tree.Map) {
			defs = append(append([]tree.Member{}, own.Members...), defs...)
		}
		bundled = bundled.With("$defs", tree.NewMap(root, defs...))
	}
	return withoutUnused(bundled), nil
}

// withoutUnused returns root without the definitions that no reference leads to. A large published schema is often
// named for one of its parts.
func withoutUnused(root *tree.Node) *tree.Node {
	homes := []string{"$defs", "definitions"}
	definitions := map[string]*tree.Node{}
	for _, home := range homes {
		if defs := root.Get(home); defs.Is(tree.Map) {
			for _, m := range defs.Members {
				definitions["#/"+home+"/"+m.Key] = m.Value
			}
		}
	}
	used := map[string]bool{}
	var visit func(n *tree.Node)
	visit = func(n *tree.Node) {
		for _, m := range n.Members {
			if target := definitions[m.Value.Text()]; m.Key == "$ref" && target != nil && !used[m.Value.Text()] {
				used[m.Value.Text()] = true
				visit(target)
			}
			if n == root && slices.Contains(homes, m.Key) {
				continue
			}
			for _, child := range children(m.Value, keywords[m.Key].holds) {
				visit(child)
			}
		}
	}
	visit(root)
	for _, home := range homes {
		defs := root.Get(home)
		if !defs.Is(tree.Map) {
			continue
		}
		kept := defs.Filter(func(name string) bool { return used["#/"+home+"/"+name] })
		switch {
		case len(kept.Members) == 0:
			root = root.Without(home)
		case len(kept.Members) < len(defs.Members):
			root = root.With(home, kept)
		}
	}
	return root
}

type bundler struct {
	open     func(*tree.Node, string) (*tree.Node, *Problem)
	main     string
	taken    map[string]bool   // names under $defs
	files    map[string]string // the name under $defs of each file's root
	queue    []pending
	defs     []tree.Member
	problems []Problem
}

type pending struct {
	ref  *tree.Node
	file string
}

// bring adds a file's root and its definitions to $defs.
func (b *bundler) bring(p pending) {
	root, problem := b.open(p.ref, p.file)
	if problem != nil {
		b.problems = append(b.problems, *problem)
		return
	}
	if root.Kind == tree.Map {
		if schema := root.Get("$schema"); schema != nil && schema.Text() == draft2020[0] {
			root = root.Without("$schema")
		}
		for _, home := range []string{"$defs", "definitions"} {
			if defs := root.Get(home); defs.Is(tree.Map) {
				for _, m := range defs.Members {
					b.defs = append(b.defs, tree.Member{Key: b.definition(p.file, m.Key), Value: b.rewrite(m.Value, p.file)})
				}
				root = root.Without(home)
			}
		}
	}
	b.defs = append(b.defs, tree.Member{Key: b.files[p.file], Value: b.rewrite(root, p.file)})
}

// rewrite copies a schema with its references turned towards the bundle.
func (b *bundler) rewrite(n *tree.Node, file string) *tree.Node {
	if n.Kind != tree.Map {
		return n
	}
	members := make([]tree.Member, 0, len(n.Members))
	for _, m := range n.Members {
		word := keywords[m.Key]
		switch {
		case m.Key == "$ref" && m.Value.Kind == tree.Text:
			m.Value = b.reference(m.Value, file)
		case word.holds == oneForm:
			m.Value = b.rewrite(m.Value, file)
		case word.holds == mapForm && m.Value.Kind == tree.Map:
			inner := make([]tree.Member, 0, len(m.Value.Members))
			for _, child := range m.Value.Members {
				inner = append(inner, tree.Member{Key: child.Key, Value: b.rewrite(child.Value, file)})
			}
			m.Value = tree.NewMap(m.Value, inner...)
		case word.holds == listForm && m.Value.Kind == tree.List:
			inner := make([]*tree.Node, 0, len(m.Value.Items))
			for _, child := range m.Value.Items {
				inner = append(inner, b.rewrite(child, file))
			}
			m.Value = tree.NewList(m.Value, inner...)
		}
		members = append(members, m)
	}
	return tree.NewMap(n, members...)
}

// reference returns what ref becomes in the bundle. What it cannot resolve it leaves to the gate to refuse.
func (b *bundler) reference(ref *tree.Node, file string) *tree.Node {
	target, fragment, _ := strings.Cut(ref.Scalar, "#")
	if target == "" {
		if file == b.main {
			return ref
		}
		target = file
	} else {
		if strings.Contains(target, ":") || strings.ContainsAny(target, `\%?`) || path.IsAbs(target) {
			return ref
		}
		target = path.Join(path.Dir(file), target)
	}
	if _, known := b.files[target]; !known {
		if len(b.files) > maxFiles {
			b.problems = append(b.problems, Problem{Node: ref, Code: "endpoint/schema-unsafe",
				Message: fmt.Sprintf("the schema refers to more than %d files", maxFiles), Fix: "join some of them"})
			return ref
		}
		b.files[target] = b.name(target)
		b.queue = append(b.queue, pending{ref, target})
	}
	name := b.files[target]
	switch {
	case fragment == "" && name == "":
		return tree.NewText(ref, "#")
	case fragment == "":
		return tree.NewText(ref, "#/$defs/"+name)
	}
	for _, home := range []string{"/$defs/", "/definitions/"} {
		if definition, ok := strings.CutPrefix(fragment, home); ok {
			if name == "" {
				return tree.NewText(ref, "#"+fragment)
			}
			return tree.NewText(ref, "#/$defs/"+b.definition(target, definition))
		}
	}
	return ref
}

// name returns a name under $defs for a file.
func (b *bundler) name(file string) string {
	name := plainName(file)
	for b.taken[name] {
		name += "_"
	}
	b.taken[name] = true
	return name
}

// definition returns the name under $defs for a definition in a file.
func (b *bundler) definition(file, definition string) string {
	return b.files[file] + "." + plainName(definition)
}

// plainName keeps what needs no escaping in a reference.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '.'
	}, name)
}
