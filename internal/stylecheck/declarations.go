package main

import (
	"go/ast"
	"go/types"
	"regexp"
	"slices"
	"strings"
)

var (
	errorWords   = regexp.MustCompile(`(?i)\b(err|fail|refus|reject|invalid|implements)`)
	defaultWords = regexp.MustCompile(`(?i)\b(default|zero|\d)`)
	safetyWords  = regexp.MustCompile(`(?i)concurren|goroutine`)
)

// The interfaces of these methods document the errors.
var fixedErrors = strings.Fields("Close Read Write MarshalJSON UnmarshalJSON MarshalText UnmarshalText Unwrap")

// declarations checks the doc comments of exported names.
func (m *meter) declarations(file *ast.File) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Name.IsExported() && (decl.Recv == nil || ast.IsExported(typeName(decl.Recv.List[0].Type))) {
				m.function(decl)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.IsExported() {
					m.typeSpec(spec, decl.Doc.Text()+spec.Doc.Text())
				}
				if spec, ok := spec.(*ast.ValueSpec); ok && spec.Names[0].IsExported() {
					m.documented(spec.Names[0], decl.Doc.Text()+spec.Doc.Text()+spec.Comment.Text())
				}
			}
		}
	}
}

func (m *meter) documented(name *ast.Ident, doc string) {
	if doc == "" {
		m.add(undocumented, name.Pos(), name.Name)
	}
}

// function demands a comment, and a word about errors if the function returns one.
func (m *meter) function(f *ast.FuncDecl) {
	m.documented(f.Name, f.Doc.Text())
	if f.Type.Results == nil || slices.Contains(fixedErrors, f.Name.Name) || errorWords.MatchString(f.Doc.Text()) {
		return
	}
	results := f.Type.Results.List
	if typeName(results[len(results)-1].Type) == "error" {
		m.add(incomplete, f.Pos(), f.Name.Name+" returns an error: say when")
	}
}

// typeSpec demands a comment, the defaults of options, and a word about concurrency beside a lock.
func (m *meter) typeSpec(spec *ast.TypeSpec, doc string) {
	m.documented(spec.Name, doc)
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, field := range structure.Fields.List {
		typ := typeName(field.Type)
		if strings.HasPrefix(typ, "sync.") && !safetyWords.MatchString(doc) {
			m.add(incomplete, spec.Pos(), spec.Name.Name+" has a lock: say whether it is safe for concurrent use")
		}
		if len(field.Names) == 0 || !field.Names[0].IsExported() || !strings.HasSuffix(spec.Name.Name, "Options") {
			continue
		}
		quantity := slices.Contains([]string{"time.Duration", "int", "int64", "float64"}, typ)
		if quantity && !defaultWords.MatchString(field.Doc.Text()+field.Comment.Text()) {
			m.add(incomplete, field.Pos(), field.Names[0].Name+": say the default, with its unit")
		}
	}
}

// typeName returns the expression of a type, without the star of a pointer.
func typeName(typ ast.Expr) string { return strings.TrimPrefix(types.ExprString(typ), "*") }
