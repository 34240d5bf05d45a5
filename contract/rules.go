package contract

import (
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A checker applies the rules that a schema cannot state. Values of the wrong type are absent from the contract it sees:
// every rule must cope with empty fields.
type checker struct {
	*report
	contract   *Contract
	flat       *tree.Node
	guarantees []located[Guarantee]
	invariants []located[Invariant]
	parsed     bool // schema files could not be opened
}

// located is a part of a contract with the place where it was written.
type located[T any] struct {
	value T
	node  *tree.Node
}

func newChecker(l *loader, c *Contract) *checker {
	k := &checker{report: &l.report, contract: c, flat: l.flat, parsed: l.files == nil}
	for name, n := range eachGuarantee(l.flat.Get("guarantees")) {
		k.guarantees = append(k.guarantees, located[Guarantee]{decodeGuarantee(name, n), n})
	}
	for i, n := range items(l.flat.Get("invariants")) {
		k.invariants = append(k.invariants, located[Invariant]{c.Invariants[i], n})
	}
	return k
}

func (k *checker) run(checks []func(*checker)) {
	for _, check := range checks {
		check(k)
	}
}

// errorChecks find what makes a contract unusable.
var errorChecks = []func(*checker){
	checkVersion, checkCapabilities,
	checkBounds, checkGuaranteeNames, checkQuantiles, checkThroughput, checkGuaranteeInvariants,
	checkCost, checkPrivacy, checkRateLimit,
	checkBaseURL, checkEndpoints, checkInvariants,
}

// warningChecks find what is likely a mistake.
var warningChecks = []func(*checker){
	warnReaders, warnCapabilities,
	warnProperties, warnSeed, warnUnverifiable, warnLittle, warnInvariants,
	warnCost, warnPrivacy, warnAlignment, warnRateLimit, warnInternet, warnSchemaLimits,
	warnEndpoints, warnSchemas, warnSecrets,
}

// find returns a node of the contract by the names and indexes of the flat form, nil if it is absent.
func (k *checker) find(path ...string) *tree.Node { return k.flat.Find(path...) }

// ratio reports a number that is not between 0 and 1.
func (k *checker) ratio(n *tree.Node, code, what string) {
	value := n.Float()
	if value == nil || *value >= 0 && *value <= 1 {
		return
	}
	fix := "write a number from 0 to 1"
	if *value > 1 && *value <= 100 {
		fix = "did you mean " + string(tree.NewNumber(n, hundredth(n.Scalar)).AppendCanonical(nil)) + "?"
	}
	k.add(n, code, fix, "%s is a ratio from 0 to 1, found %s", what, n.Scalar)
}

// duplicates yields the index of every element whose key an earlier one has, and of the first such. Elements with an empty
// key are passed over.
func duplicates[T any](list []T, key func(T) string) func(yield func(later, earlier int) bool) {
	return func(yield func(int, int) bool) {
		first := make(map[string]int, len(list))
		for i, element := range list {
			k := key(element)
			if k == "" {
				continue
			}
			earlier, known := first[k]
			if !known {
				first[k] = i
			} else if !yield(i, earlier) {
				return
			}
		}
	}
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }
