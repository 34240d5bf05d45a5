package registry

import "github.com/smarthaus/caio-bridge-go/contract"

// Memory of one item beside its text, in bytes: structs, headers, index entries, and rounding by the allocator.
// TestCostOfHolding compares the sum with the heap.
const (
	entryOverhead      = 2500
	capabilityOverhead = 500 // of a name, for its lists
	offerOverhead      = 180 // of a service with a capability
	guaranteeOverhead  = 200
	endpointOverhead   = 100
	warningOverhead    = 300
	groupOverhead      = 420 // of 7 members of an object
	valueOverhead      = 48  // of an object or a list without elements
	slotOverhead       = 16  // of an element of a list, of a text
)

// bytes estimates the memory of the entry: the contract's text, the texts made of it, and the part that routing looks at.
// The catalogue adds capabilityOverhead for each name.
func (e *entry) bytes(text int) int64 {
	n := text + len(e.excerpt) + len(e.listed) + len(e.documentation)
	n += n/8 + entryOverhead
	for _, w := range contract.Lint(e.contract) {
		n += warningOverhead + len(w.Path) + len(w.Message) + len(w.Fix)
	}
	for i := range e.contract.Capabilities {
		n += offerOverhead + len(e.contract.Capabilities[i].Type)
	}
	for i := range e.endpoints {
		n += endpointOverhead + len(e.endpoints[i].Path)
	}
	for i := range e.contract.Guarantees {
		g := &e.contract.Guarantees[i]
		n += guaranteeOverhead + 2*len(g.Name) + 2*len(g.Property) + len(g.Invariant) + valueBytes(g.Bound.Other)
	}
	n += valueBytes(e.contract.Constraints.Other)
	if p := e.contract.Privacy; p != nil {
		n += valueBytes(p.Other)
	}
	if a := e.contract.Alignment; a != nil {
		n += valueBytes(a.Other)
	}
	return int64(n)
}

// valueBytes estimates the memory of a decoded JSON value.
func valueBytes(value any) int {
	switch value := value.(type) {
	case map[string]any:
		n := valueOverhead + groupOverhead*((len(value)+6)/7)
		for name, member := range value {
			n += textBytes(name) + valueBytes(member)
		}
		return n
	case []any:
		n := valueOverhead + slotOverhead*len(value)
		for i := range value {
			n += valueBytes(value[i])
		}
		return n
	case string:
		return slotOverhead + textBytes(value)
	case float64:
		return 8
	}
	return 0 // of a literal
}

// textBytes rounds up as the allocator does.
func textBytes(text string) int { return (len(text) + 15) &^ 15 }
