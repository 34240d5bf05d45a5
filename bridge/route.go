package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// A Route binds a handler to one endpoint of the contract. Make one with [Unary] or [Streaming].
type Route struct {
	pattern string
	serves  []string
	timeout time.Duration
	streams bool
	once    bool // it streams, and handle without send answers in one piece
	decode  func(body []byte) (any, error)
	handle  func(ctx context.Context, req any, send func(event any) error) (any, error)

	request, result reflect.Type // that decode returns, and handle
}

// A RouteOption adjusts a [Route].
type RouteOption func(*Route)

// Serves names the capabilities of the contract that the route serves. Every capability must be served by a route.
func Serves(capabilities ...string) RouteOption {
	return func(r *Route) { r.serves = append(r.serves, capabilities...) }
}

// Timeout bounds one call of the route, events included, unless the contract does (constraints.timeout_ms). Default:
// [Options.Timeout].
func Timeout(d time.Duration) RouteOption {
	return func(r *Route) { r.timeout = d }
}

// Unary makes a route that answers once. The pattern is a method and a path as in the contract: "POST /review".
//
// Requests are decoded as encoding/json does, but names must match exactly and may not repeat, so that what was
// validated is what is decoded; and an integer is one for a Go int, too, if it is written as JSON Schema allows, such as 20.0.
// A request without a body (GET, HEAD, DELETE) decodes from an object of its path and query
// parameters: texts, but numbers, truth values and lists where the endpoint's input_schema says so.
func Unary[Req, Res any](pattern string, h Handler[Req, Res], opts ...RouteOption) Route {
	r := Route{
		pattern: pattern,
		request: reflect.TypeFor[Req](),
		result:  reflect.TypeFor[Res](),
		decode:  decode[Req],
		handle: func(ctx context.Context, req any, _ func(any) error) (any, error) {
			return h.Handle(ctx, req.(Req))
		},
	}
	return r.with(opts)
}

// Streaming makes a route that also streams: to callers that send Accept: text/event-stream. See [Unary] for the pattern.
func Streaming[Req, Event, Res any](pattern string, h StreamHandler[Req, Event, Res], opts ...RouteOption) Route {
	whole, once := h.(Handler[Req, Res])
	r := Route{
		pattern: pattern,
		streams: true,
		once:    once,
		request: reflect.TypeFor[Req](),
		result:  reflect.TypeFor[Res](),
		decode:  decode[Req],
		handle: func(ctx context.Context, req any, send func(any) error) (any, error) {
			if send == nil {
				return whole.Handle(ctx, req.(Req))
			}
			return h.HandleStream(ctx, req.(Req), func(event Event) error { return send(event) })
		},
	}
	return r.with(opts)
}

func (r Route) with(opts []RouteOption) Route {
	for _, opt := range opts {
		opt(&r)
	}
	return r
}

// strictJSON decodes as encoding/json does, except for what would let a body mean something else to the validator than
// to the handler.
var strictJSON = jsonv2.JoinOptions(
	jsonv1.DefaultOptionsV1(),
	jsonv1.ReportErrorsWithLegacySemantics(false), // reads the text twice; nobody sees these errors but the log
	jsonv2.MatchCaseInsensitiveNames(false),
	jsontext.AllowDuplicateNames(false),
	jsontext.AllowInvalidUTF8(false),
)

func decode[Req any](body []byte) (any, error) {
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

// plainIntegers writes whole numbers without fraction and exponent. For JSON Schema 20.0 and 2e1 are integers, and some callers
// write all numbers so, but an int of Go takes neither.
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

// undecodable says which Go type does not take what input_schema allows, but not what was sent.
func undecodable(err error) error {
	if mismatch, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return fmt.Errorf("a JSON %v does not decode into %v", mismatch.JSONKind, mismatch.GoType)
	}
	return errors.New("it is not strict JSON")
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
