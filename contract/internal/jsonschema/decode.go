package jsonschema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A SyntaxError says why bytes are not one JSON value.
type SyntaxError struct {
	Offset  int64
	Pointer string
	Detail  string
}

// Scan checks that data is one JSON value of at most maxDepth levels, and returns the number of
// values in it. It is strict: names must be unique, text must be UTF-8, and numbers must fit a
// float64. It decodes nothing.
func Scan(data []byte, maxDepth int) (values int, failed *SyntaxError) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(data))
	for {
		token, err := decoder.ReadToken()
		if err != nil {
			return 0, syntaxError(err, len(data))
		}
		depth := decoder.StackDepth()
		if depth > maxDepth {
			return 0, &SyntaxError{Offset: decoder.InputOffset(), Pointer: string(decoder.StackPointer()),
				Detail: fmt.Sprintf("the value is nested too deep: at most %d levels are read", maxDepth)}
		}
		switch kind := token.Kind(); {
		case kind == '}' || kind == ']':
		case kind == '"' && isName(decoder, depth):
		case kind == '0' && !fits(token.String()):
			offset := decoder.InputOffset() - int64(len(token.String()))
			return 0, &SyntaxError{Offset: offset, Pointer: string(decoder.StackPointer()), Detail: fmt.Sprintf("the number at byte %d is out of range", offset)}
		default:
			values++
		}
		if depth == 0 {
			return values, trailing(data, int(decoder.InputOffset()))
		}
	}
}

// isName reports if the string that was read last is the name of a member.
func isName(decoder *jsontext.Decoder, depth int) bool {
	kind, length := decoder.StackIndex(depth)
	return kind == '{' && length%2 == 1
}

// fits reports if a number fits a float64. Short ones do.
func fits(number string) bool {
	if len(number) < 300 && !strings.ContainsAny(number, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(number, 64)
	return err == nil
}

// trailing returns an error if something follows the value that ends at the offset.
func trailing(data []byte, end int) *SyntaxError {
	rest := bytes.TrimLeft(data[end:], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	first, _ := utf8.DecodeRune(rest)
	offset := len(data) - len(rest)
	return &SyntaxError{Offset: int64(offset), Detail: fmt.Sprintf("not valid JSON at byte %d: invalid character %q after top-level value", offset, first)}
}

// Decode is [Scan], and returns the value.
func Decode(data []byte, maxDepth int) (any, *SyntaxError) {
	if _, failed := Scan(data, maxDepth); failed != nil {
		return nil, failed
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return nil, syntaxError(err, len(data))
	}
	return value, nil
}

func syntaxError(err error, size int) *SyntaxError {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		e := &SyntaxError{Offset: syntax.ByteOffset, Pointer: string(syntax.JSONPointer)}
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			e.Detail = fmt.Sprintf("not valid JSON at byte %d: a name appears twice in one object", e.Offset)
		case errors.Is(err, io.ErrUnexpectedEOF) || size == 0:
			e.Detail = fmt.Sprintf("not valid JSON: the text ends too early, after %d bytes", e.Offset)
		default:
			e.Detail = fmt.Sprintf("not valid JSON at byte %d: %s", e.Offset, strings.TrimPrefix(syntax.Err.Error(), "jsontext: "))
		}
		return e
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return &SyntaxError{Offset: semantic.ByteOffset, Pointer: string(semantic.JSONPointer),
			Detail: fmt.Sprintf("the number at byte %d is out of range", semantic.ByteOffset)}
	}
	return &SyntaxError{Detail: "not valid JSON: the text ends too early, after 0 bytes"}
}

// matchesAny reports if a pattern matches the name.
func matchesAny(patterns []*regexp.Regexp, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern *regexp.Regexp) bool { return pattern.MatchString(name) })
}
