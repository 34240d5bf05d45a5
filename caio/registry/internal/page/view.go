package page

import "time"

// A View is what the page shows before the script takes over.
type View struct {
	Version     string // of the registry
	TokenNeeded bool   // the services are withheld until the script sends a token
	Services
}

// None is the row that the script copies.
func (View) None() Service { return Service{} }

// A State is what the script asks for again and again, beside the latest decisions.
type State struct {
	Services
	MayDecide bool `json:"may_decide"` // the caller may see decisions and ask for them
}

// Services are one part of the list, sorted by id.
type Services struct {
	Total        int       `json:"total"`     // registered
	Unhealthy    int       `json:"unhealthy"` // of those
	Matching     int       `json:"matching"`  // that the filter lets pass
	First        int       `json:"first"`     // position of the first in List among those, from 1; 0 if List is empty
	List         []Service `json:"list"`
	Query        string    `json:"query"`        // the filter
	Next         string    `json:"next"`         // id after which the next part begins; "" if this is the last
	Capabilities []string  `json:"capabilities"` // some of those on offer
}

// Last returns the position of the last in List.
func (s Services) Last() int { return s.First + len(s.List) - min(1, len(s.List)) }

// A Service is one row, in words.
type Service struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Version       string   `json:"version"`
	Status        string   `json:"status"`
	Lease         string   `json:"lease"` // and that health is not checked; "" if it stays until it is unregistered
	Address       string   `json:"address"`
	Documentation string   `json:"documentation"` // an http or https URL, or ""
	Capabilities  []string `json:"capabilities"`
	Guarantees    []string `json:"guarantees"`
	Evidence      []string `json:"evidence"` // verdicts on the guarantees; empty if there are none
}

// A Summary is a decision in a list.
type Summary struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Asked   string    `json:"asked"`   // the request in words
	Service string    `json:"service"` // chosen, for a chain with arrows between; "" if none matched
}

// A Decision is a decision explained.
type Decision struct {
	Summary
	Message string   `json:"message"` // why none matched
	Steps   []Step   `json:"steps"`   // of a chain, or one; for no match the step that failed
	Missing []string `json:"missing"` // capabilities that nobody offers
	Offered []string `json:"offered"` // capabilities on offer instead
	Proofs  []Proof  `json:"proofs"`
	Hash    string   `json:"hash"`
	Faults  string   `json:"faults"` // what recomputing the trace found wrong
}

// A Step is the choice of one service.
type Step struct {
	Service    string      `json:"service"`
	Reasons    []string    `json:"reasons"`
	Weights    string      `json:"weights"`
	Candidates []Candidate `json:"candidates"` // that qualify, the best first
	Refused    []Refused   `json:"refused"`    // that do not, the nearest first
}

// A Candidate is a service that qualifies, with its figures as text; "" for what it does not promise.
type Candidate struct {
	Service      string `json:"service"`
	Score        string `json:"score"`
	Accuracy     string `json:"accuracy"`
	Latency      string `json:"latency"`
	Price        string `json:"price"`
	Availability string `json:"availability"`
}

// A Refused is a service that does not qualify, with the clauses that it fails.
type Refused struct {
	Service string   `json:"service"`
	Failed  []Clause `json:"failed"`
}

// A Proof is one step of the calculus.
type Proof struct {
	Type      string   `json:"type"`
	Step      int      `json:"step"` // of a chain, from 1, else 0
	Valid     bool     `json:"valid"`
	Statement string   `json:"statement"`
	Clauses   []Clause `json:"clauses"`
}

// A Clause is one requirement held against a contract.
type Clause struct {
	Requirement string `json:"requirement"`
	Met         bool   `json:"met"`
	Detail      string `json:"detail"`
}
