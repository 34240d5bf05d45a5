package jsonschema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A SyntaxError says why bytes are not one JSON value.
type SyntaxError struct {
	Offset  int64
	Pointer string
	Detail  string
}

// Decode reads one JSON value of at most maxDepth levels. It is strict: names must be unique, text must be UTF-8, and
// numbers must fit a float64.
func Decode(data []byte, maxDepth int) (any, *SyntaxError) {
	if deeper(data, maxDepth) {
		return nil, depthError(data, maxDepth)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return nil, syntaxError(err, len(data))
	}
	return value, nil
}

// deeper reports whether brackets are nested deeper than maxDepth. It looks at bytes only.
func deeper(data []byte, maxDepth int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

func depthError(data []byte, maxDepth int) *SyntaxError {
	decoder := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := decoder.ReadToken(); err != nil {
			return syntaxError(err, len(data))
		}
		if decoder.StackDepth() > maxDepth {
			return &SyntaxError{Offset: decoder.InputOffset(), Pointer: string(decoder.StackPointer()),
				Detail: fmt.Sprintf("the value is nested too deep: at most %d levels are read", maxDepth)}
		}
	}
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

// matchesAny reports whether a pattern of patternProperties allows the name.
func matchesAny(patterns map[string]any, name string) bool {
	for pattern := range patterns {
		if matched, err := regexp.MatchString(pattern, name); err == nil && matched {
			return true
		}
	}
	return false
}
