package codex

import (
	"cmp"
	"errors"
	"strconv"

	"github.com/go-json-experiment/json"
)

// Requests and responses of POST /generate, defined by schemas/codex_generate_*.json.
type (
	generateRequest struct {
		Prompt    string      `json:"prompt"`
		Context   callContext `json:"context"`
		MaxTokens int         `json:"max_tokens"`
	}
	generateResponse struct {
		Code        string `json:"code"`
		Language    string `json:"language"`
		Explanation string `json:"explanation"`
		provenance
	}
)

// A delta is an event of a streamed POST /generate: text to append to a member of the result.
type delta struct {
	Field string `json:"field"` // "code", "explanation" or "language"
	Text  string `json:"text"`
}

// EventType returns the name of the server-sent event.
func (delta) EventType() string { return "delta" }

const generateInstructions = `You write code for callers of an API.
Do what the part "request" asks for, in the language that the part "context" names if it names one,
and in the manner of the files given.
Answer with JSON:
"language" is the programming language of the code, in lower case.
"code" is complete and ready to be saved to a file, without Markdown fences.
"explanation" says in a few sentences what the code does and what its user must know.
If there is no code to write, leave "code" empty and say why in "explanation".
` + partInstructions

var generateTask = newTask("code_generation", generateInstructions, `{"type":"object","additionalProperties":false,
"required":["code","explanation","language"],"properties":{
"code":{"type":"string"},"explanation":{"type":"string"},"language":{"type":"string"}}}`)

// generation transforms requests and responses of POST /generate.
type generation struct{}

func (generation) TransformRequest(req generateRequest) (prompt, error) {
	request := part{name: "request", text: req.Prompt}
	if req.MaxTokens > 0 {
		request.note = "\n\nKeep the whole answer under " + strconv.Itoa(req.MaxTokens) + " tokens."
	}
	return prompt{
		task:      generateTask,
		context:   req.Context,
		parts:     []part{request},
		maxTokens: min(cmp.Or(req.MaxTokens, maxAnswerTokens), maxAnswerTokens) + reasoningAllowance,
	}, nil
}

func (generation) TransformResponse(_ generateRequest, r *response) (generateResponse, error) {
	text, err := r.text("Raise max_tokens (at most 4096), or ask for less at once.")
	if err != nil {
		return generateResponse{}, err
	}
	var answer struct {
		Code        *string `json:"code"`
		Language    *string `json:"language"`
		Explanation *string `json:"explanation"`
	}
	if err := json.Unmarshal([]byte(text), &answer, lenient); err != nil {
		return generateResponse{}, malformedAnswer(err)
	}
	if answer.Code == nil || answer.Language == nil || answer.Explanation == nil {
		return generateResponse{}, malformedAnswer(errors.New("code, language or explanation is missing"))
	}
	if *answer.Code == "" && *answer.Explanation == "" {
		return generateResponse{}, newError(codeEmptyAnswer, 502,
			"The model answered with neither code nor explanation.", nil)
	}
	return generateResponse{*answer.Code, *answer.Language, *answer.Explanation, r.provenance()}, nil
}
