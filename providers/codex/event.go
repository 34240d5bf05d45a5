package codex

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An event is one of the few events of a streamed response that matter here.
type event struct {
	Type        string `json:"-"`
	OutputIndex int    `json:"output_index"`
	Item        struct {
		Phase string `json:"phase"`
	} `json:"item"`
	Delta    string         `json:"delta"`
	Response jsontext.Value `json:"response"`
	failure  apiError
}

// decodeEvent decodes only events that follow wants: others use the same names for other types. OpenAI names the type
// twice, as name of the event too, which spares a look into the data.
func decodeEvent(name string, data []byte) (*event, error) {
	if name != "error" && !strings.HasPrefix(name, "response.") {
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
		name = kind.Type
	}
	e := event{}
	var err error
	switch name {
	case "response.output_item.added", "response.output_text.delta", "response.completed", "response.incomplete", "response.failed":
		err = json.Unmarshal(data, &e, lenient)
	case "error": // documented as flat, seen as nested
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
	e.Type = name
	return &e, err
}
