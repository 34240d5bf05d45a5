package contract

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// maxSchemaBytes bounds the schema files of one contract in sum.
const maxSchemaBytes = 2 << 20

// loadSchemas judges the schemas of all endpoints, each file once.
func (l *loader) loadSchemas(c *Contract) {
	l.opened, l.schemas, l.budget = map[string]*tree.Node{}, map[string]*Schema{}, jsonschema.NewBudget()
	for i, n := range items(l.flat.Find("api", "endpoints")) {
		c.API.Endpoints[i].InputSchema = l.schema(n.Get("input_schema"))
		c.API.Endpoints[i].OutputSchema = l.schema(n.Get("output_schema"))
	}
}

// schema judges an inline schema or the file that n names. It returns nil if there is none or it is refused.
func (l *loader) schema(n *tree.Node) *Schema {
	switch {
	case n.Is(tree.Map), n.Is(tree.Bool):
		return l.judge(n, l.schemaPath("contract.inline"))
	case !n.Is(tree.Text):
		return nil
	}
	if fix, refused := escapes(n.Scalar); refused {
		l.add(n, "endpoint/schema-escape", fix, "schema files must lie beside the contract or below it, found %q", tree.Shorten(n.Scalar))
		return nil
	}
	if l.files == nil {
		return nil
	}
	file := l.schemaPath(n.Scalar)
	schema, known := l.schemas[file]
	if !known {
		if root, problem := l.openSchema(n, file); problem == nil {
			schema = l.judge(root, file)
		} else if problem.Code != "" {
			l.add(problem.Node, problem.Code, problem.Fix, "%s", problem.Message)
		}
		l.schemas[file] = schema
	}
	return schema
}

// escapes reports whether the name of a file leads, or could lead, out of the folder of the contract.
func escapes(file string) (fix string, refused bool) {
	switch {
	case strings.Contains(file, "://") || strings.HasPrefix(file, "file:"):
		return "keep a copy of the schema beside the contract; URLs are not fetched", true
	case file == "", strings.HasPrefix(file, "/"), strings.Contains(file, `\`), len(file) > 1 && file[1] == ':':
		return "write a relative path with forward slashes, such as schemas/request.json", true
	case strings.Contains("/"+file+"/", "/../"), strings.ContainsRune(file, 0):
		return "move the file below the folder of the contract", true
	}
	return "", false
}

func (l *loader) judge(root *tree.Node, file string) *Schema {
	if l.budget.Spent() {
		return nil // which was reported
	}
	bundled, problems := jsonschema.Bundle(root, file, l.openReference)
	var judged *jsonschema.Schema
	if len(problems) == 0 {
		judged, problems = jsonschema.Inspect(bundled, l.budget)
	}
	l.addProblems(problems)
	if judged == nil {
		return nil
	}
	l.addProblems(jsonschema.Review(bundled, l.budget))
	return (&Schema{inner: judged}).WithMaxValues(0)
}

// addProblems reports what is wrong with a schema. Problems without a code were reported already.
func (l *loader) addProblems(problems []jsonschema.Problem) {
	for _, p := range problems {
		if p.Code == "schema/unknown-keyword" {
			if near := nearest(p.Node.Key(), jsonschema.Vocabulary()); near != "" {
				p.Fix = fmt.Sprintf("did you mean %q?", near)
			}
		}
		switch {
		case p.Code == "":
		case p.AtKey:
			l.addKey(p.Node, p.Code, p.Fix, "%s", p.Message)
		default:
			l.add(p.Node, p.Code, p.Fix, "%s", p.Message)
		}
	}
}

// openReference opens a file that a schema refers to.
func (l *loader) openReference(ref *tree.Node, file string) (*tree.Node, *jsonschema.Problem) {
	if l.files == nil {
		return nil, &jsonschema.Problem{Node: ref, Code: "endpoint/schema-file", Message: "references to files cannot be followed here",
			Fix: "bring the definition into the schema, under $defs"}
	}
	if base := path.Dir(l.schemaPath("x")); base != "." && file != base && !strings.HasPrefix(file, base+"/") {
		return nil, &jsonschema.Problem{Node: ref, Code: "endpoint/schema-escape", Message: fmt.Sprintf("%q leads out of the folder of the contract", tree.Shorten(ref.Scalar)),
			Fix: "move the file below the folder of the contract"}
	}
	return l.openSchema(ref, file)
}

// openSchema reads a schema file that ref names. A problem without a code was reported already.
func (l *loader) openSchema(ref *tree.Node, file string) (*tree.Node, *jsonschema.Problem) {
	if !fs.ValidPath(file) {
		return nil, &jsonschema.Problem{Node: ref, Code: "endpoint/schema-escape", Message: fmt.Sprintf("%q leads out of the folder of the contract", tree.Shorten(ref.Scalar)),
			Fix: "move the file below the folder of the contract"}
	}
	root, known := l.opened[file]
	if !known {
		data, err := readFile(l.files, file)
		if err != nil {
			return nil, l.unreadable(ref, file, err)
		}
		if l.bytes += len(data); l.bytes > maxSchemaBytes {
			return nil, &jsonschema.Problem{Node: ref, Code: "endpoint/schema-unsafe", Fix: "leave out what no endpoint uses",
				Message: fmt.Sprintf("the schema files of the contract have more than %d MiB in sum", maxSchemaBytes>>20)}
		}
		source := tree.NewSource(l.display(file), data)
		parsed, problems := tree.Parse(source)
		for _, problem := range problems {
			l.put(source, problem)
		}
		root, l.opened[file] = parsed, parsed
	}
	if root == nil {
		return nil, &jsonschema.Problem{Node: ref} // which was reported
	}
	return root, nil
}

func (l *loader) unreadable(ref *tree.Node, file string, err error) *jsonschema.Problem {
	p := &jsonschema.Problem{Node: ref, Code: "endpoint/schema-file"}
	if !errors.Is(err, fs.ErrNotExist) {
		if pathError, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathError.Err
		}
		p.Message = fmt.Sprintf("schema file %s cannot be read: %v", tree.Shorten(file), err)
		return p
	}
	p.Message, p.Fix = fmt.Sprintf("schema file %s does not exist", file), "paths are relative to the contract"
	var names []string
	entries, err := fs.ReadDir(l.files, path.Dir(file))
	for _, entry := range entries[:min(len(entries), 1000)] {
		names = append(names, entry.Name())
	}
	if near := nearest(path.Base(file), names); err == nil && near != "" {
		p.Fix = fmt.Sprintf("did you mean %q?", path.Join(path.Dir(ref.Scalar), near))
	}
	return p
}
