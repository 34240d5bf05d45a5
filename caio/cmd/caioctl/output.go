package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
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
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var plain any
		if err := decoder.Decode(&plain); err != nil {
			return err
		}
		encoder := yaml.NewEncoder(a.stdout)
		encoder.SetIndent(2)
		return encoder.Encode(withIntegers(plain))
	}
	t := newTable()
	t.coloured = a.colours(a.stdout)
	table(t)
	_, err := a.stdout.Write(t.bytes())
	return err
}

// withIntegers makes numbers of decoded JSON integers where they are some: YAML would write 1e+06 for a float64 of a million.
func withIntegers(value any) any {
	switch value := value.(type) {
	case []any:
		for i := range value {
			value[i] = withIntegers(value[i])
		}
	case map[string]any:
		for name := range value {
			value[name] = withIntegers(value[name])
		}
	case json.Number:
		if integer, err := value.Int64(); err == nil {
			return integer
		}
		number, _ := value.Float64() // infinite if it is that large, as it would be elsewhere
		return number
	}
	return value
}

// A colour is a sequence that a terminal understands (ECMA-48, SGR).
type colour string

const (
	plain  colour = ""
	bold   colour = "\x1b[1m"
	red    colour = "\x1b[31m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"

	reset = "\x1b[0m"
)

// colours reports whether w is a terminal that shows colours, and nobody asked for none (https://no-color.org).
func (a *app) colours(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (a *app) paint(w io.Writer, c colour, text string) string {
	if !a.colours(w) {
		return text
	}
	return string(c) + text + reset
}

// A tableWriter aligns columns. Whole lines are coloured, after they have been aligned.
type tableWriter struct {
	tabwriter.Writer
	text     bytes.Buffer
	coloured bool
	rows     int
	colours  map[int]colour // by row
}

func newTable() *tableWriter {
	t := &tableWriter{colours: make(map[int]colour)}
	t.Init(&t.text, 0, 0, 2, ' ', 0)
	return t
}

// bytes returns the table.
func (t *tableWriter) bytes() []byte {
	t.Flush()
	if !t.coloured {
		return t.text.Bytes()
	}
	var painted bytes.Buffer
	row := 0
	for line := range strings.Lines(t.text.String()) {
		if c := t.colours[row]; c != plain {
			line = string(c) + strings.TrimRight(line, " \n") + reset + "\n"
		}
		painted.WriteString(line)
		row++
	}
	return painted.Bytes()
}

// paintedRow writes one line in a colour.
func (t *tableWriter) paintedRow(c colour, cells ...any) {
	t.colours[t.rows] = c
	t.row(cells...)
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
	t.rows++
}
