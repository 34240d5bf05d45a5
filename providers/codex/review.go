package codex

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
)

// Requests and responses of POST /review, defined by schemas/codex_review_*.json.
type (
	reviewRequest struct {
		Code    string      `json:"code"`
		Diff    string      `json:"diff"`
		Context callContext `json:"context"`
	}
	reviewResponse struct {
		Findings    []finding `json:"findings"`
		Verdict     string    `json:"verdict"`
		Explanation string    `json:"explanation"`
		Confidence  float64   `json:"confidence"`
		provenance
	}
	finding struct {
		Title      string   `json:"title"`
		Body       string   `json:"body"`
		Severity   string   `json:"severity"`
		Priority   *int     `json:"priority"`
		Confidence float64  `json:"confidence"`
		Location   location `json:"location"`
	}
	location struct {
		File      string `json:"file"`
		LineStart int    `json:"line_start"`
		LineEnd   int    `json:"line_end"`
	}
)

const reviewInstructions = `You review code that somebody else wrote, for callers of an API.
Review the part "code", whose lines are numbered, or the change in the part "diff".
Other parts are there to understand it.
Report every fault that its author would fix if they knew of it, and nothing else: errors, security holes, data loss,
waste that matters, traps for the next maintainer. Each finding is one fault, certain enough to act on, with the input
or situation in which it shows. Do not praise, do not report taste, and invent nothing: no findings is a fine answer.
Answer with JSON:
"title" states the fault in at most 80 characters; "body" says why it is one.
"priority" is 0 for what must be fixed before anything else, 1 for urgent, 2 for normal, 3 for nice to have,
null if you cannot tell.
"confidence_score" is how sure you are, from 0 to 1.
"code_location" is the shortest range of lines that shows the fault: the numbers given in "code", or the lines of the
new file for "diff"; "file" is the path as in the diff, without a/ or b/, and empty for "code".
"overall_correctness" is "patch is incorrect" if a finding must be fixed before the code can be used, else
"patch is correct"; "overall_explanation" says why in one to three sentences.
` + partInstructions

// reviewTask asks for the format of Codex's own reviews, because its models know it.
var reviewTask = newTask("code_review", reviewInstructions, `{"type":"object","additionalProperties":false,
"required":["findings","overall_correctness","overall_explanation","overall_confidence_score"],"properties":{
"findings":{"type":"array","items":{"type":"object","additionalProperties":false,
"required":["title","body","confidence_score","priority","code_location"],"properties":{
"title":{"type":"string"},"body":{"type":"string"},"confidence_score":{"type":"number","minimum":0,"maximum":1},
"priority":{"type":["integer","null"],"enum":[0,1,2,3,null]},
"code_location":{"type":"object","additionalProperties":false,"required":["file","line_range"],"properties":{
"file":{"type":"string"},
"line_range":{"type":"object","additionalProperties":false,"required":["start","end"],"properties":{
"start":{"type":"integer"},"end":{"type":"integer"}}}}}}}},
"overall_correctness":{"type":"string","enum":["patch is correct","patch is incorrect"]},
"overall_explanation":{"type":"string"},"overall_confidence_score":{"type":"number","minimum":0,"maximum":1}}}`)

// review transforms requests and responses of POST /review.
type review struct{}

func (review) TransformRequest(req reviewRequest) (prompt, error) {
	subject := part{name: "code", text: req.Code, numbered: true}
	if req.Diff != "" {
		subject = part{name: "diff", text: req.Diff}
	}
	return prompt{
		task:      reviewTask,
		context:   req.Context,
		parts:     []part{subject, {name: "request", text: "Review it."}},
		maxTokens: maxAnswerTokens + reasoningAllowance,
	}, nil
}

// A modelReview is the model's answer in the format of reviewTask.
type modelReview struct {
	Findings []struct {
		Title      string   `json:"title"`
		Body       string   `json:"body"`
		Confidence *float64 `json:"confidence_score"`
		Priority   *int     `json:"priority"`
		Location   struct {
			File  string `json:"file"`
			Lines struct {
				Start int `json:"start"`
				End   int `json:"end"`
			} `json:"line_range"`
		} `json:"code_location"`
	} `json:"findings"`
	Correctness string   `json:"overall_correctness"`
	Explanation string   `json:"overall_explanation"`
	Confidence  *float64 `json:"overall_confidence_score"`
}

var (
	verdicts   = map[string]string{"patch is correct": "correct", "patch is incorrect": "incorrect"}
	severities = []string{"critical", "high", "medium", "low"} // by priority
)

func (review) TransformResponse(_ reviewRequest, r *response) (reviewResponse, error) {
	text, err := r.text("Review less code at once.")
	if err != nil {
		return reviewResponse{}, err
	}
	var answer modelReview
	if err := json.Unmarshal([]byte(text), &answer, lenient); err != nil {
		return reviewResponse{}, malformedAnswer(err)
	}
	verdict, ok := verdicts[answer.Correctness]
	if !ok || answer.Confidence == nil {
		return reviewResponse{}, malformedAnswer(errors.New("the verdict or its confidence is missing"))
	}
	findings := []finding{} // [] on the wire, not null
	for i, f := range answer.Findings {
		if f.Title == "" || f.Confidence == nil {
			return reviewResponse{}, malformedAnswer(fmt.Errorf("finding %d has no title or no confidence", i))
		}
		start := max(f.Location.Lines.Start, 1)
		found := finding{
			Title: f.Title, Body: f.Body, Severity: "unrated", Confidence: *f.Confidence,
			Location: location{File: f.Location.File, LineStart: start, LineEnd: max(f.Location.Lines.End, start)},
		}
		if f.Priority != nil && *f.Priority >= 0 && *f.Priority < len(severities) {
			found.Priority, found.Severity = f.Priority, severities[*f.Priority]
		}
		findings = append(findings, found)
	}
	slices.SortStableFunc(findings, func(a, b finding) int { return cmp.Compare(a.urgency(), b.urgency()) })
	return reviewResponse{findings, verdict, answer.Explanation, *answer.Confidence, r.provenance()}, nil
}

// urgency returns the sort key of a finding: its priority, with unrated findings last.
func (f finding) urgency() int {
	if f.Priority == nil {
		return len(severities)
	}
	return *f.Priority
}
