package jsonschema

import (
	"regexp/syntax"
)

// Limits of one schema, and of all schemas of one contract. They bound the cost of loading a
// contract, and keep the engine's time to compile one schema below half a second.
const (
	maxSchemaDepth   = 64      // levels of JSON
	maxSchemaValues  = 3_000   // JSON values of one schema; the engine compiles in quadratic time
	maxAllValues     = 32_000  // JSON values of all schemas of a contract
	maxInPlace       = 500     // subschemas that look at one value, references followed
	maxPattern       = 512     // bytes of a regular expression
	maxPatternSize   = 3_000   // instructions of one regular expression
	maxPatternsSize  = 20_000  // instructions of all regular expressions
	maxPatternKeys   = 20      // patternProperties of one object
	maxLooks         = 200_000 // subschemas that look at one value, added up over all schemas
	maxText          = 4 << 20 // bytes of all schemas as JSON, parts of files included
	maxExampleValues = 1_000   // JSON values of schemas with examples: to check these, each is compiled
	maxReviewed      = 100     // doubts that a review reports
)

// A Budget bounds the cost of all schemas of one contract. [Inspect] refuses a schema that does not
// fit, before it is compiled. A Budget is not safe for concurrent use.
type Budget struct {
	values   int
	text     int // bytes
	patterns int // instructions
	looks    int // of subschemas
	examples int // JSON values
	matching int // instructions times bytes
	doubts   int
	judged   map[string]*Schema // by text: equal schemas are judged and kept once
}

// NewBudget returns the budget of a contract.
func NewBudget() *Budget {
	return &Budget{values: maxAllValues, text: maxText, patterns: maxPatternsSize, looks: maxLooks, examples: maxExampleValues, matching: maxMatching, doubts: maxReviewed, judged: map[string]*Schema{}}
}

// Spent reports if a schema was refused because the budget is spent. Inspect refuses further ones
// unseen.
func (b *Budget) Spent() bool { return b.values < 0 || b.text < 0 || b.patterns < 0 || b.looks < 0 }

// patternSize returns how many instructions the compiled expression has at most, without compiling
// it: Go compiles (a{500}){1000} into gigabytes. Large character classes count, too, for their
// memory.
func patternSize(e *syntax.Regexp) int {
	const most = 1 << 20
	size := 0
	for _, sub := range e.Sub {
		size = min(size+patternSize(sub), most)
	}
	switch e.Op {
	case syntax.OpRepeat:
		// x{2,4} becomes xx(x(x)?)?, and x{2,} becomes xx+.
		copies := max(e.Min, e.Max, 1)
		return min(copies*(size+1)+1, most)
	case syntax.OpLiteral:
		return max(1, len(e.Rune))
	case syntax.OpCharClass:
		return 1 + len(e.Rune)/8
	case syntax.OpAlternate:
		return size + len(e.Sub)
	case syntax.OpCapture:
		return size + 2
	}
	return size + 1
}
