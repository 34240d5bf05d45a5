package registry

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
)

// maxBody is somewhat more than the largest contract that package contract reads.
const maxBody = 256<<10 + 16<<10

// readBody returns the body and whether it is YAML; it is JSON otherwise.
func readBody(r *http.Request) (body []byte, isYAML bool, err error) {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case mediaType == "", mediaType == "application/json", strings.HasSuffix(mediaType, "+json"):
	case slices.Contains([]string{"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}, mediaType):
		isYAML = true
	default:
		return nil, false, &caio.Error{Status: http.StatusUnsupportedMediaType, Code: wire.UnsupportedMediaType,
			Message: fmt.Sprintf("Content-Type %s is not read: send application/json, or a contract as application/yaml", wire.Clip(mediaType, 60))}
	}
	body, err = io.ReadAll(r.Body)
	switch {
	case err != nil:
		return nil, false, unreadable(err)
	case len(body) == 0:
		return nil, false, invalidRequest("the request has no body")
	}
	return body, isYAML, nil
}

// readJSON decodes the body into value strictly: a name that appears twice, invalid UTF-8 and further text are faults.
func readJSON(r *http.Request, value any) error {
	body, isYAML, err := readBody(r)
	switch {
	case err != nil:
		return err
	case isYAML:
		return onlyContractsAreYAML()
	}
	return decode(body, value, "")
}

func onlyContractsAreYAML() error {
	return &caio.Error{Status: http.StatusUnsupportedMediaType, Code: wire.UnsupportedMediaType, Message: "only contracts may be YAML: send application/json"}
}

// decode reports faults with the place where they are, below prefix.
func decode(data []byte, value any, prefix string, options ...json.Options) error {
	err := json.Unmarshal(data, value, options...)
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntactic):
		return invalidRequest(fmt.Sprintf("the request is not valid JSON, at byte %d: %v", syntactic.ByteOffset, wire.Clip(syntactic.Err.Error(), 200)))
	case errors.As(err, &semantic):
		problem := "unexpected JSON " + kindOf(semantic.JSONKind)
		if semantic.Err != nil {
			problem = semantic.Err.Error()
		}
		place := cmp.Or(wire.Clip(prefix+string(semantic.JSONPointer), 200), "the request")
		return invalidRequest(place + ": " + wire.Clip(problem, 200))
	}
	return invalidRequest("the request is not what is expected here")
}

func kindOf(kind jsontext.Kind) string {
	switch kind {
	case '[':
		return "array"
	case '{':
		return "object"
	}
	return kind.String()
}

// unreadable is the refusal of a body that could not be read to its end.
func unreadable(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &caio.Error{Status: http.StatusRequestEntityTooLarge, Code: wire.RequestTooLarge,
			Message: fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit)}
	}
	return invalidRequest("the request was cut off, or is not what its Content-Type says")
}
