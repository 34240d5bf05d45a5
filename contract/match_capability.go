package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A capabilityClause requires one capability.
type capabilityClause string

func (k capabilityClause) metBy(c *Contract) bool { return c.offers(string(k)) }

func (k capabilityClause) requirement() string { return "capabilities: " + string(k) }

func (k capabilityClause) detail(c *Contract, met bool) string { return c.offerDetail(string(k), met) }

// An anyOfClause requires at least one of several capabilities.
type anyOfClause []string

func (k anyOfClause) metBy(c *Contract) bool { return slices.ContainsFunc(k, c.offers) }

func (k anyOfClause) requirement() string { return "capabilities: any of " + strings.Join(k, ", ") }

func (k anyOfClause) detail(c *Contract, met bool) string {
	if met {
		return c.offerDetail(k[slices.IndexFunc(k, c.offers)], true)
	}
	return c.offerDetail(strings.Join(k, " or "), false)
}

func (c *Contract) offers(typ string) bool {
	for i := range c.Capabilities {
		if c.Capabilities[i].Type == typ {
			return true
		}
	}
	return false
}

func (c *Contract) offerDetail(typ string, met bool) string {
	if met {
		return "offers " + typ
	}
	const most = 8
	var offered []string
	for _, capability := range c.Capabilities {
		if slices.Contains(offered, capability.Type) {
			continue
		}
		if len(offered) == most {
			offered = append(offered, "…")
			break
		}
		offered = append(offered, capability.Type)
	}
	return fmt.Sprintf("does not offer %s, offers %s", tree.Shorten(typ), strings.Join(offered, ", "))
}
