package tree

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	// What YAML 1.1 or 1.2 readers take for a number although it is none in JSON.
	looseNumber = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	oddNumber   = regexp.MustCompile(`^[-+]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9_]+)?)$`)
	notFinite   = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
	truthWord   = regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$`)
	sexagesimal = regexp.MustCompile(`^[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`)
	date        = regexp.MustCompile(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:$|[Tt \t])`)
	leadingZero = regexp.MustCompile(`^[-+]?0[0-9]+(\.[0-9]*)?$`)
)

// parseNumber returns the value of a JSON number, and what is wrong with it.
func parseNumber(text string) (value float64, problem string) {
	if len(text) > maxNumber {
		return 0, "is too long: at most " + strconv.Itoa(maxNumber) + " characters"
	}
	value, err := strconv.ParseFloat(text, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	switch {
	case err != nil:
		return 0, "is out of range: at most 1.8e308"
	case value == 0 && strings.ContainsAny(mantissa, "123456789"):
		// Too small for a float64; read as 0 it would silently mean something else.
		return 0, "is out of range: at least 5e-324"
	}
	return value, ""
}

// resolvePlain gives a plain (unquoted, untagged) YAML scalar its meaning: null, true and false, decimal numbers, and
// text for everything else, dates included. What YAML readers disagree about is a problem.
func (b *builder) resolvePlain(n *Node, text string, path func() string) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		n.Kind = Null
		return
	case "true", "True", "TRUE":
		n.Kind, n.Scalar = Bool, "true"
		return
	case "false", "False", "FALSE":
		n.Kind, n.Scalar = Bool, "false"
		return
	}
	n.Kind, n.Scalar = Text, text
	if truthWord.MatchString(text) {
		n.doubt = truthDoubt
	}
	if !strings.ContainsRune("+-.0123456789", rune(text[0])) {
		return
	}
	switch {
	case jsonNumber.MatchString(text):
		b.setNumber(n, text, path)
		if strings.ContainsAny(text, "eE") && (!strings.Contains(text, ".") || !strings.ContainsAny(text, "+-")) {
			n.doubt = textDoubt // PyYAML wants 1.0e+5
		}
	case sexagesimal.MatchString(text):
		n.doubt = numberDoubt
	case date.MatchString(text):
		n.doubt = dateDoubt
	case leadingZero.MatchString(text):
		b.report(n.At, path(), "file/leading-zero", "write "+trimZeros(text)+" for the number, or "+strconv.Quote(Shorten(text))+" for the text",
			"%s has a leading zero: some YAML readers take it as octal, some as decimal, some as text", Shorten(text))
	case looseNumber.MatchString(text):
		b.setNumber(n, tidyNumber(text), path)
	case notFinite.MatchString(text):
		b.report(n.At, path(), "file/number-range", "write a finite number", "%s is not a number that JSON can hold", text)
	case oddNumber.MatchString(text):
		b.report(n.At, path(), "file/number-form", "write it in decimal, or in quotes if it is meant as text",
			"YAML readers disagree about what %s means", Shorten(text))
	}
}

// tidyNumber turns "+1.", ".5" and the like into JSON.
func tidyNumber(text string) string {
	text = strings.TrimPrefix(text, "+")
	sign := ""
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		sign, text = "-", rest
	}
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction + exponent
}

func trimZeros(text string) string {
	return Shorten(tidyNumber(text))
}
