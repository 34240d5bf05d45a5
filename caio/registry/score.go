package registry

import (
	"errors"
	"fmt"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// Weights say how much each part counts when services that meet all requirements are compared. Only their ratios matter.
// A service's score is the weighted mean of its parts, each from 0 to 1; what a contract does not promise counts as 0.
type Weights struct {
	Guarantees  float64 `json:"guarantees"`  // the promised accuracy, for the weakest of the required capabilities
	Performance float64 `json:"performance"` // 1 / (1 + promised p95 latency / 1 s)
	Cost        float64 `json:"cost"`        // 1 / (1 + 10 x price of a call of 1,000 tokens); currencies are not converted
	Reliability float64 `json:"reliability"` // the promised availability
}

// DefaultWeights are those of [Options].Weights when that is zero.
func DefaultWeights() Weights { return Weights{Guarantees: 4, Performance: 3, Cost: 2, Reliability: 1} }

func (w *Weights) check() error {
	for _, weight := range []float64{w.Guarantees, w.Performance, w.Cost, w.Reliability} {
		if !(weight >= 0 && weight <= 1e6) {
			return fmt.Errorf("a weight of Weights is %v, not within 0 and 1000000", weight)
		}
	}
	if w.sum() == 0 {
		return errors.New("all Weights are 0")
	}
	return nil
}

func (w *Weights) sum() float64 { return w.Guarantees + w.Performance + w.Cost + w.Reliability }

// parts are what a score is made of, each from 0 to 1.
type parts struct{ guarantees, performance, cost, reliability float64 }

// total is the sum that the score is the mean of. It is the same on every machine: conversions keep compilers from fusing
// operations.
func (w *Weights) total(p parts) float64 {
	return float64(w.Guarantees*p.guarantees) + float64(w.Performance*p.performance) + float64(w.Cost*p.cost) + float64(w.Reliability*p.reliability)
}

func ratio(promised *float64) float64 {
	if promised == nil {
		return 0
	}
	return max(0, min(1, *promised))
}

func performance(p95 *float64) float64 {
	if p95 == nil {
		return 0
	}
	return 1 / (1 + max(0, *p95)/1000)
}

func cost(price *float64) float64 {
	if price == nil {
		return 0
	}
	return 1 / (1 + float64(max(0, *price)*10))
}

// score computes a candidate's score from its figures.
func (w *Weights) score(c *caio.Candidate) float64 {
	return w.total(parts{ratio(c.Accuracy), performance(c.P95Latency), cost(c.Price), ratio(c.Availability)}) / w.sum()
}

// candidate returns the entry with its score for the capabilities.
func (w *Weights) candidate(e *entry, capabilities []string) caio.Candidate {
	c := caio.Candidate{ServiceID: e.contract.ID, Accuracy: e.promised(capabilities), P95Latency: e.p95, Price: e.price, Availability: e.availability}
	c.Score = w.score(&c)
	return c
}

// before reports whether a is preferred to b: by score, then by id.
func before(a, b *caio.Candidate) bool {
	if a.Score != b.Score {
		return a.Score > b.Score
	}
	return a.ServiceID < b.ServiceID
}
