package codex

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An event holds the used members of a streamed response's events.
type event struct {
	Type        string `json:"-"`
	OutputIndex int    `json:"output_index"`
	Item        struct {
		Phase string `json:"phase"`
	} `json:"item"`
	Delta    string         `json:"delta"`
	Response jsontext.Value `json:"response"`
	apiErr   apiError       // content of an event of type "error"
}

// decodeEvent decodes the events that readStream uses. It does not decode others, because they use
// the same member names with other types.
//
// OpenAI also sends the type as the event's name. Without a name, decodeEvent reads the type from
// data.
func decodeEvent(name string, data []byte) (*event, error) {
	if name != "error" && !strings.HasPrefix(name, "response.") {
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" { // the end marker of some gateways
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
	case "response.output_item.added", "response.output_text.delta",
		"response.completed", "response.incomplete", "response.failed":
		err = json.Unmarshal(data, &e, lenient)
	case "error": // flat in OpenAI's documentation, nested in practice
		var nested struct {
			Error *apiError `json:"error"`
		}
		if err = json.Unmarshal(data, &nested, lenient); err == nil && nested.Error != nil {
			e.apiErr = *nested.Error
			break
		}
		err = json.Unmarshal(data, &e.apiErr, lenient)
		e.apiErr.Type = "" // it is the event's type, "error"
	}
	e.Type = name
	return &e, err
}
