package codex

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An event is one of the few events of a streamed response that matter here.
type event struct {
	Type        string `json:"type"`
	OutputIndex int    `json:"output_index"`
	Item        struct {
		Phase string `json:"phase"`
	} `json:"item"`
	Delta    string         `json:"delta"`
	Response jsontext.Value `json:"response"`
	failure  apiError
}

// decodeEvent decodes only events that follow wants: others use the same names for other types.
func decodeEvent(data []byte) (*event, error) {
	data = bytes.TrimSpace(data)
	if string(data) == "[DONE]" { // as some gateways end their streams
		return &event{}, nil
	}
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(data, &kind, lenient); err != nil {
		return nil, err
	}
	var e event
	var err error
	switch kind.Type {
	case "response.output_item.added", "response.output_text.delta", "response.completed", "response.incomplete", "response.failed":
		err = json.Unmarshal(data, &e, lenient)
	case "error": // documented as flat, seen as nested
		e.Type = kind.Type
		var nested struct {
			Error *apiError `json:"error"`
		}
		if err = json.Unmarshal(data, &nested, lenient); err == nil && nested.Error != nil {
			e.failure = *nested.Error
			break
		}
		err = json.Unmarshal(data, &e.failure, lenient)
		e.failure.Type = "" // which is "error"
	}
	return &e, err
}
