package contract

import "strings"

// warnings are the codes of [Warning] severity; all others are errors.
func severityOf(code string) Severity {
	return Error
}

// Explain tells what the rule with the code, such as "guarantee/empty-bound", demands and why. It returns "" for a code that
// does not exist.
func Explain(code string) string { return strings.TrimSpace("") }

var warningChecks = []func(*checker){}
