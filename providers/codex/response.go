package codex

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// lenient reads and writes JSON as servers and models do: names may repeat, and texts may hold what is not UTF-8.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// An answer is a response object of the Responses API, as far as a bridge needs it. The SDK's own type is not used: its
// decoder accepts members of wrong types silently, and takes several times as long.
type response struct {
	ID         string       `json:"id"`
	Model      string       `json:"model"`
	Status     string       `json:"status"`
	Error      *apiError    `json:"error"`
	Incomplete incomplete   `json:"incomplete_details"`
	Output     []outputItem `json:"output"`
	Usage      usageReport  `json:"usage"`
	requestID  string       // of the bridge's call
}

type incomplete struct {
	Reason string `json:"reason"`
}

type outputItem struct {
	Type    string `json:"type"`
	Phase   string `json:"phase"`
	Content []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
	} `json:"content"`
}

// A provenance says where a result came from and what it cost.
type provenance struct {
	Model      string `json:"model"`
	Usage      *usage `json:"usage"`
	RequestID  string `json:"request_id"`
	ResponseID string `json:"response_id"`
}

type usage struct {
	InputTokens       int64 `json:"input_tokens"`
	CachedInputTokens int64 `json:"cached_input_tokens"`
	OutputTokens      int64 `json:"output_tokens"`
	ReasoningTokens   int64 `json:"reasoning_tokens"`
	TotalTokens       int64 `json:"total_tokens"`
}

// text returns the model's final text, or says what the answer is instead of one. remedy tells a caller whose answer was
// cut off what to do.
func (a *response) text(remedy string) (string, error) {
	switch {
	case a.Status == "incomplete" && a.Incomplete.Reason == "content_filter":
		return "", &bridge.Error{Code: codeContentFiltered, Status: 422, Detail: "The model's server withheld the answer: its content filter objects to the request or to the answer."}
	case a.Status == "incomplete":
		return "", &bridge.Error{
			Code: codeOutputIncomplete, Status: 422, Detail: "The answer was cut off before it was complete. " + remedy,
			Cause: fmt.Errorf("response %s is incomplete: %q", clean(a.ID), clean(a.Incomplete.Reason)),
		}
	case a.Status != "completed":
		return "", malformedAnswer(fmt.Errorf("the response's status is %q", clean(a.Status)))
	}
	var text, refusal strings.Builder
	for _, item := range a.Output {
		if item.Type != "message" || item.Phase == phaseCommentary {
			continue
		}
		for _, content := range item.Content {
			if content.Type == "output_text" {
				text.WriteString(content.Text)
			}
			refusal.WriteString(content.Refusal)
		}
	}
	if refusal.Len() > 0 {
		return "", &bridge.Error{Code: codeModelRefused, Status: 422, Detail: "The model refused: " + clean(refusal.String())}
	}
	if strings.TrimSpace(text.String()) == "" {
		return "", &bridge.Error{Code: codeEmptyAnswer, Status: 502, Detail: "The model answered without any text.", Cause: fmt.Errorf("response %s is completed without text", clean(a.ID))}
	}
	return text.String(), nil
}

// phaseCommentary marks messages that a model writes on the way to its final one.
const phaseCommentary = "commentary"

func (a *response) provenance() provenance {
	return provenance{Model: a.Model, Usage: a.Usage.usage, RequestID: a.requestID, ResponseID: a.ID}
}

// A usageReport is what a server said of the cost of an answer: nil if it said nothing, or what cannot be.
type usageReport struct{ *usage }

// UnmarshalJSON never fails: an answer counts, whatever is said of its cost.
func (r *usageReport) UnmarshalJSON(data []byte) error {
	var said *struct {
		Input        int64 `json:"input_tokens"`
		InputDetails struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		Output        int64 `json:"output_tokens"`
		OutputDetails struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
		Total int64 `json:"total_tokens"`
	}
	r.usage = nil
	if json.Unmarshal(data, &said, lenient) != nil || said == nil {
		return nil
	}
	cached, reasoning := said.InputDetails.Cached, said.OutputDetails.Reasoning
	if cached < 0 || said.Input < cached || reasoning < 0 || said.Output < reasoning || said.Total < 0 {
		return nil
	}
	r.usage = &usage{said.Input, cached, said.Output, reasoning, said.Total}
	return nil
}

// misshapen is the error for an answer that is not what was asked for.
func malformedAnswer(cause error) error {
	return &bridge.Error{Code: bridge.CodeInvalidResponse, Detail: "The model's answer does not have the shape that was asked for.", Cause: cause}
}
