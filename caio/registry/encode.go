package registry

import (
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// canonical returns a value as canonical JSON (RFC 8785). It encodes as encoding/json does, with
// half the allocations.
func canonical(value any) (jsontext.Value, error) {
	data, err := jsonv1.Marshal(value)
	if err != nil {
		return nil, err
	}
	text := jsontext.Value(data)
	err = text.Canonicalize()
	return text, err
}
