package codex_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

func TestReviewPrompt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, body, want string }{
		{"code is numbered", `{"code":"a\n\nb"}`, "code ===\n1\ta\n2\t\n3\tb\n=== END"},
		{"a diff is left alone", `{"diff":"@@ -1 +1 @@\n-a\n+b\n"}`, "diff ===\n@@ -1 +1 @@\n-a\n+b\n=== END"},
		{"context goes along", `{"code":"a","context":{"language":"c","files":[{"path":"h.h","content":"int x;"}]}}`,
			"file \"h.h\" ===\nint x;\n=== END"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var req codex.ReviewRequest
			if err := json.Unmarshal([]byte(test.body), &req); err != nil {
				t.Fatal(err)
			}
			asked, err := codex.Review{}.TransformRequest(req)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(asked.Input(), test.want) {
				t.Errorf("input lacks %q:\n%s", test.want, asked.Input())
			}
		})
	}
}

func TestReviewResponse(t *testing.T) {
	t.Parallel()
	got, err := codex.Review{}.TransformResponse(codex.ReviewRequest{}, answer(t, completed(`{
		"findings":[
			{"title":"Unrated","body":"b","confidence_score":0.5,"priority":null,"code_location":{"file":"","line_range":{"start":0,"end":0}}},
			{"title":"Minor","body":"b","confidence_score":0.4,"priority":3,"code_location":{"file":"a.go","line_range":{"start":9,"end":2}}},
			{"title":"Grave","body":"b","confidence_score":1,"priority":0,"code_location":{"file":"a.go","line_range":{"start":3,"end":4}}},
			{"title":"Off the scale","body":"b","confidence_score":0,"priority":7,"code_location":{"file":"a.go","line_range":{"start":1,"end":1}}}],
		"overall_correctness":"patch is incorrect","overall_explanation":"e","overall_confidence_score":0.9}`)))
	if err != nil {
		t.Fatal(err)
	}
	zero, three := 0, 3
	want := []codex.Finding{
		{Title: "Grave", Body: "b", Severity: "critical", Priority: &zero, Confidence: 1,
			Location: codex.Location{File: "a.go", LineStart: 3, LineEnd: 4}},
		{Title: "Minor", Body: "b", Severity: "low", Priority: &three, Confidence: 0.4,
			Location: codex.Location{File: "a.go", LineStart: 9, LineEnd: 9}},
		{Title: "Unrated", Body: "b", Severity: "unrated", Confidence: 0.5,
			Location: codex.Location{LineStart: 1, LineEnd: 1}},
		{Title: "Off the scale", Body: "b", Severity: "unrated",
			Location: codex.Location{File: "a.go", LineStart: 1, LineEnd: 1}},
	}
	if diff := cmp.Diff(want, got.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if got.Verdict != "incorrect" || got.Explanation != "e" || got.Confidence != 0.9 {
		t.Errorf("verdict = %q, %q, %v", got.Verdict, got.Explanation, got.Confidence)
	}
}

func TestReviewWithoutFindingsHasAnEmptyList(t *testing.T) {
	t.Parallel()
	got, err := codex.Review{}.TransformResponse(codex.ReviewRequest{}, answer(t, completed(
		`{"findings":[],"overall_correctness":"patch is correct","overall_explanation":"","overall_confidence_score":1}`)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(body), `{"findings":[],"verdict":"correct",`) {
		t.Errorf("response = %s", body)
	}
}

func TestResponsesWithoutAReview(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, answer string
		code         string
		status       int
		detail       string
	}{
		{"cut off", `{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}`, "output_incomplete", 422,
			"less code"},
		{"prose", completed("LGTM"), bridge.CodeInvalidResponse, 0, "shape"},
		{"no verdict", completed(`{"findings":[],"overall_explanation":"","overall_confidence_score":1}`),
			bridge.CodeInvalidResponse, 0, "shape"},
		{"a finding without title",
			completed(`{"findings":[{"body":"b","confidence_score":1}],"overall_correctness":"patch is correct","overall_confidence_score":1}`), bridge.CodeInvalidResponse, 0, "shape"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := codex.Review{}.TransformResponse(codex.ReviewRequest{}, answer(t, test.answer))
			wantError(t, err, test.code, test.status, test.detail)
		})
	}
}

// FuzzAnswers checks that every response of a server becomes a valid review or a *bridge.Error.
func FuzzAnswers(f *testing.F) {
	f.Add(completed(`{"findings":[{"title":"t","body":"b","confidence_score":1,"priority":0,"code_location":{"file":"","line_range":{"start":9,"end":-1}}}],"overall_correctness":"patch is correct","overall_confidence_score":1}`))
	f.Add(completed(`{"code":"c","explanation":"e","language":"go"}`))
	f.Add(`{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"usage":{"input_tokens":-1}}`)
	f.Add(`{"status":"completed","output":[null,{"type":"message","content":[null,{"type":"refusal","refusal":"\u0000"}]}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		defer costtest.AllocatesAtMost(t, 16<<20)()
		var a codex.Response
		if json.Unmarshal([]byte(body), &a) != nil {
			return
		}
		if _, err := (codex.Generation{}).TransformResponse(codex.GenerateRequest{}, &a); err != nil {
			if _, ok := errors.AsType[*bridge.Error](err); !ok {
				t.Errorf("error %v is not a *bridge.Error", err)
			}
		}
		got, err := codex.Review{}.TransformResponse(codex.ReviewRequest{}, &a)
		if err != nil {
			if _, ok := errors.AsType[*bridge.Error](err); !ok {
				t.Errorf("error %v is not a *bridge.Error", err)
			}
			return
		}
		for _, finding := range got.Findings {
			if at := finding.Location; at.LineStart < 1 || at.LineEnd < at.LineStart || finding.Title == "" {
				t.Errorf("finding = %+v", finding)
			}
		}
	})
}
