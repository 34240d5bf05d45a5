package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A demoLine is a reviewed line with its location.
type demoLine struct {
	file   string
	number int
	text   string
}

// A demoCheck is a finding for lines that match.
type demoCheck struct {
	title, body string
	priority    int
	confidence  float64
	match       func(line string) bool
}

const demoLineLength = 120

func demoChecks() []demoCheck {
	pattern := func(p string) func(string) bool { return regexp.MustCompile(p).MatchString }
	tooLong := func(line string) bool { return utf8.RuneCountInString(line) > demoLineLength }
	return []demoCheck{
		{"Merge conflict marker", "The merge is not resolved.", 0, 1, pattern(`^(<{7} |>{7} )`)},
		{"Secret in the code", "The value looks like a credential: read it from the environment.", 1, 0.6,
			pattern(`(?i)(passw(or)?d|secret|api_?key|token)\w*["']?\s*(:=|=|:)\s*["'][^"'\s]{8,}["']`)},
		{"Known defect", "FIXME marks code that its author considers wrong.", 1, 0.8, pattern(`\b(FIXME|XXX)\b`)},
		{"Unfinished work", "TODO marks missing code.", 2, 0.8, pattern(`\bTODO\b`)},
		{"Mixed tabs and spaces", "The indentation depends on the tab width; in Python it can be an error.", 2, 1,
			pattern(`^( +\t|\t+ {2,}\S)`)},
		{"Trailing whitespace", "It causes needless changes in diffs.", 3, 1, pattern(`\S[ \t]+$|^[ \t]+$`)},
		{"Long line", fmt.Sprintf("The line is longer than %d characters.", demoLineLength), 3, 1, tooLong},
	}
}

const demoMaxFindings = 50

// demoReview returns a review with the findings of all checks.
func demoReview(parts demoParts) any {
	lines := numberedLines(parts["code"])
	if diff, ok := parts["diff"]; ok {
		lines = addedLines(diff)
	}
	findings := []any{}
	verdict := "patch is correct"
	for _, check := range demoChecks() {
		for _, line := range lines {
			if !check.match(line.text) || len(findings) == demoMaxFindings {
				continue
			}
			if check.priority < 2 {
				verdict = "patch is incorrect"
			}
			findings = append(findings, map[string]any{
				"title": check.title, "body": check.body, "priority": check.priority, "confidence_score": check.confidence,
				"code_location": map[string]any{
					"file": line.file, "line_range": map[string]any{"start": line.number, "end": line.number},
				},
			})
		}
	}
	return map[string]any{
		"findings": findings, "overall_correctness": verdict, "overall_confidence_score": 0.1,
		"overall_explanation": demoNotice + fmt.Sprintf(" It searched %d lines for conflict markers, secrets, "+
			"TODO and FIXME, whitespace problems and excess length.", len(lines)),
	}
}

// numberedLines parses the provider's format of code: number, tab, text.
func numberedLines(code string) (lines []demoLine) {
	for line := range strings.Lines(code) {
		number, text, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
		if n, err := strconv.Atoi(number); err == nil {
			lines = append(lines, demoLine{number: n, text: text})
		}
	}
	return lines
}

// addedLines returns the added lines of a unified diff, with file and line number after the change.
func addedLines(diff string) (lines []demoLine) {
	hunk := regexp.MustCompile(`^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)
	file, number, before, after := "", 1, 0, 0 // before and after: rest of the hunk's lines
	for line := range strings.Lines(diff) {
		line = strings.TrimRight(line, "\r\n")
		switch head := hunk.FindStringSubmatch(line); {
		case before+after > 0 && strings.HasPrefix(line, "+"):
			lines = append(lines, demoLine{file, number, line[1:]})
			number, after = number+1, after-1
		case before+after > 0 && strings.HasPrefix(line, "-"):
			before--
		case before+after > 0 && !strings.HasPrefix(line, `\`):
			number, before, after = number+1, before-1, after-1
		case head != nil:
			before, number, after = hunkNumber(head[1]), hunkNumber(head[2]), hunkNumber(head[3])
		case strings.HasPrefix(line, "+++ "):
			name, _, _ := strings.Cut(line[len("+++ "):], "\t")
			file = strings.TrimPrefix(name, "b/")
		}
	}
	return lines
}

// hunkNumber parses a number of a hunk header. A missing count means 1.
func hunkNumber(digits string) int {
	if n, err := strconv.Atoi(digits); err == nil {
		return n
	}
	return 1
}
