package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"

	"gopkg.in/yaml.v3"
)

// print writes value as JSON or YAML, or lets table write it for people.
func (a *app) print(value any, table func(t *tableWriter)) error {
	switch a.output {
	case "json":
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	case "yaml":
		data, err := json.Marshal(value) // so that names are those of the API
		if err != nil {
			return err
		}
		var plain any
		if err := json.Unmarshal(data, &plain); err != nil {
			return err
		}
		encoder := yaml.NewEncoder(a.stdout)
		encoder.SetIndent(2)
		return encoder.Encode(plain)
	}
	t := new(tableWriter)
	t.Init(&t.text, 0, 0, 2, ' ', 0)
	table(t)
	t.Flush()
	_, err := a.stdout.Write(t.text.Bytes())
	return err
}

// A tableWriter aligns columns.
type tableWriter struct {
	tabwriter.Writer
	text bytes.Buffer
}

// row writes one line. Control characters, which may come from anybody's contract, do not reach the terminal.
func (t *tableWriter) row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			t.Write([]byte("\t"))
		}
		t.Write([]byte(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, fmt.Sprint(cell))))
	}
	t.Write([]byte("\n"))
}
