package codex

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/bridge"
)

// lenient accepts the JSON of servers and models: repeated names and invalid UTF-8.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// A response holds the used members of a response object of the Responses API.
//
// It replaces the SDK's type: the SDK's decoder takes several times as long and ignores members of
// wrong types.
type response struct {
	ID         string    `json:"id"`
	Model      string    `json:"model"`
	Status     string    `json:"status"`
	Error      *apiError `json:"error"`
	Incomplete struct {
		Reason string `json:"reason"`
	} `json:"incomplete_details"`
	Output []struct {
		Type    string `json:"type"`
		Phase   string `json:"phase"`
		Content []struct {
			Type    string `json:"type"`
			Text    string `json:"text"`
			Refusal string `json:"refusal"`
		} `json:"content"`
	} `json:"output"`
	Usage     usageReport `json:"usage"`
	requestID string      // the bridge's id of the call
}

// A provenance holds the result members about its origin and cost.
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

// text returns the model's final text, or an error for an incomplete, refused or empty answer. An
// error for an incomplete answer ends with remedy, the advice for callers.
func (r *response) text(remedy string) (string, error) {
	switch {
	case r.Status == "incomplete" && r.Incomplete.Reason == "content_filter":
		return "", newError(codeContentFiltered, 422,
			"The content filter of the model's server blocked the request or the answer.", nil)
	case r.Status == "incomplete":
		return "", newError(codeOutputIncomplete, 422, "The answer was cut off before it was complete. "+remedy,
			fmt.Errorf("response %s is incomplete: %q", clean(r.ID), clean(r.Incomplete.Reason)))
	case r.Status != "completed":
		return "", malformedAnswer(fmt.Errorf("the response has status %q", clean(r.Status)))
	}
	var text, refusal strings.Builder
	for _, item := range r.Output {
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
		return "", newError(codeModelRefused, 422, "The model refused: "+clean(refusal.String()), nil)
	}
	if strings.TrimSpace(text.String()) == "" {
		return "", newError(codeEmptyAnswer, 502, "The model answered without any text.",
			fmt.Errorf("response %s is completed without text", clean(r.ID)))
	}
	return text.String(), nil
}

// phaseCommentary marks a model's intermediate messages, before its final one.
const phaseCommentary = "commentary"

func (r *response) provenance() provenance {
	return provenance{Model: r.Model, Usage: r.Usage.usage, RequestID: r.requestID, ResponseID: r.ID}
}

// A usageReport holds the usage that a server reported, nil if it is absent or invalid.
type usageReport struct{ *usage }

// UnmarshalJSON never fails, because an invalid usage must not invalidate the answer.
func (r *usageReport) UnmarshalJSON(data []byte) error {
	var report *struct {
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
	if json.Unmarshal(data, &report, lenient) != nil || report == nil {
		return nil
	}
	cached, reasoning := report.InputDetails.Cached, report.OutputDetails.Reasoning
	if cached < 0 || report.Input < cached || reasoning < 0 || report.Output < reasoning || report.Total < 0 {
		return nil
	}
	r.usage = &usage{report.Input, cached, report.Output, reasoning, report.Total}
	return nil
}

// malformedAnswer returns the error for an answer that violates the task's schema.
func malformedAnswer(cause error) error {
	return newError(bridge.CodeInvalidResponse, 0, "The model's answer does not have the requested shape.", cause)
}
