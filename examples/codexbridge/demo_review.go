package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A demoLine is a line under review, and where it stands.
type demoLine struct {
	file   string
	number int
	text   string
}

// A demoCheck finds a fault that shows in a single line.
type demoCheck struct {
	title, body string
	priority    int
	confidence  float64
	found       func(line string) bool
}

const demoLineLength = 120

func demoChecks() []demoCheck {
	matches := func(pattern string) func(string) bool { return regexp.MustCompile(pattern).MatchString }
	return []demoCheck{
		{"Merge conflict left in place", "The line is a conflict marker: the file does not hold what either side wrote.", 0, 1, matches(`^(<{7} |>{7} )`)},
		{"Secret in the code", "A text that looks like a credential is assigned here. Whoever reads the code has it; read it from the environment.", 1, 0.6, matches(`(?i)(passw(or)?d|secret|api_?key|token)\w*["']?\s*(:=|=|:)\s*["'][^"'\s]{8,}["']`)},
		{"Known fault", "FIXME says that the author knows this is wrong.", 1, 0.8, matches(`\b(FIXME|XXX)\b`)},
		{"Unfinished work", "TODO says that something is missing here.", 2, 0.8, matches(`\bTODO\b`)},
		{"Tabs and spaces in one indentation", "How far this line is indented depends on the reader's tab width; in Python it can be an error.", 2, 1, matches(`^( +\t|\t+ {2,}\S)`)},
		{"Blanks at the end of the line", "They show up as changes in diffs.", 3, 1, matches(`\S[ \t]+$|^[ \t]+$`)},
		{"Long line", fmt.Sprintf("The line is longer than %d characters.", demoLineLength), 3, 1, func(line string) bool { return utf8.RuneCountInString(line) > demoLineLength }},
	}
}

const demoMaxFindings = 50

// demoReview holds each line against each check.
func demoReview(parts demoParts) any {
	lines := numberedLines(parts["code"])
	if diff, ok := parts["diff"]; ok {
		lines = addedLines(diff)
	}
	findings := []any{}
	verdict := "patch is correct"
	for _, check := range demoChecks() {
		for _, line := range lines {
			if !check.found(line.text) || len(findings) == demoMaxFindings {
				continue
			}
			if check.priority < 2 {
				verdict = "patch is incorrect"
			}
			findings = append(findings, map[string]any{
				"title": check.title, "body": check.body, "priority": check.priority, "confidence_score": check.confidence,
				"code_location": map[string]any{"file": line.file, "line_range": map[string]any{"start": line.number, "end": line.number}},
			})
		}
	}
	return map[string]any{
		"findings": findings, "overall_correctness": verdict, "overall_confidence_score": 0.1,
		"overall_explanation": demoNotice + fmt.Sprintf(" Each of %d lines was searched for what a search can find: conflict markers, secrets, TODO and FIXME, white space, length.", len(lines)),
	}
}

// numberedLines reads code as the provider sends it: each line behind its number and a tab.
func numberedLines(code string) (lines []demoLine) {
	for line := range strings.Lines(code) {
		number, text, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
		if n, err := strconv.Atoi(number); err == nil {
			lines = append(lines, demoLine{number: n, text: text})
		}
	}
	return lines
}

// addedLines reads the lines that a unified diff adds, with the file and the number that they have after it.
func addedLines(diff string) (lines []demoLine) {
	hunk := regexp.MustCompile(`^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)
	file, number, before, after := "", 1, 0, 0 // the counts of lines that the hunk still has
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

// hunkNumber reads a number of a hunk's head, where a missing count means 1.
func hunkNumber(digits string) int {
	if n, err := strconv.Atoi(digits); err == nil {
		return n
	}
	return 1
}
