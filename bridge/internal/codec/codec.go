// Package codec reads and writes the JSON of requests, results and records.
package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// strictJSON decodes like encoding/json, but refuses a text that the validator could read in
// another way than the handler.
var strictJSON = jsonv2.JoinOptions(
	jsonv1.DefaultOptionsV1(),
	jsonv1.ReportErrorsWithLegacySemantics(false), // it would read the text twice
	jsonv2.MatchCaseInsensitiveNames(false),
	jsontext.AllowDuplicateNames(false),
	jsontext.AllowInvalidUTF8(false),
)

// Decode decodes strict JSON into a new Req, or returns the error of the decoder. A whole number
// with a fraction or exponent, such as 20.0, is an integer.
func Decode[Req any](body []byte) (any, error) {
	var req Req
	err := jsonv2.Unmarshal(body, &req, strictJSON)
	if mismatch, ok := errors.AsType[*jsonv2.SemanticError](err); ok && mismatch.JSONKind == '0' {
		var again Req
		if jsonv2.Unmarshal(plainIntegers(body), &again, strictJSON) == nil {
			return again, nil
		}
	}
	return req, err
}

// plainIntegers writes whole numbers without fraction and exponent. JSON Schema takes 20.0 and 2e1
// as integers, but an int of Go does not.
func plainIntegers(body []byte) []byte {
	var plain bytes.Buffer
	from, to := jsontext.NewDecoder(bytes.NewReader(body)), jsontext.NewEncoder(&plain)
	for {
		token, err := from.ReadToken()
		if err != nil {
			return plain.Bytes()
		}
		if token.Kind() == '0' && strings.ContainsAny(token.String(), ".eE") {
			if f, err := token.Float(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
				token = jsontext.Int(int64(f))
			}
		}
		if err := to.WriteToken(token); err != nil {
			return plain.Bytes()
		}
	}
}

// Mismatch returns the place and the JSON type of a value that Decode could not decode.
func Mismatch(err error) (pointer, kind string, ok bool) {
	if mismatch, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return string(mismatch.JSONPointer), mismatch.JSONKind.String(), true
	}
	return "", "", false
}

// Redact replaces an error of Decode by one that names types, not values of the request.
func Redact(err error) error {
	if mismatch, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return fmt.Errorf("a JSON %v does not decode into %v", mismatch.JSONKind, mismatch.GoType)
	}
	return errors.New("it is not strict JSON")
}

// Encode returns the JSON of v without a line break, and without escapes for HTML. The error is
// that of encoding/json.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
