package registry

import (
	"io"
	"net/http"
	"strconv"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// A listing is services in the order of their ids, with the status that each had when they were listed. It writes itself
// as {"services","count"}.
type listing []listed

type listed struct {
	*entry
	state string
}

// list returns the services that meet the requirements and have the status, any if it is "".
func (r *Registry) list(required contract.Requirements, status string) listing {
	r.sweep()
	candidates, count := sortedList[*entry]{r.services.entries()}, 0
	if len(required.Capabilities) > 0 {
		offering, _ := r.services.having(required.Capabilities)
		candidates, count = offering.byID, offering.count
	} else {
		count = len(candidates[0])
	}
	query := contract.NewMatcher(required)
	everyone := len(required.Capabilities) <= 1 && len(required.Guarantees) == 0 && len(required.Constraints) == 0
	list := make(listing, 0, count)
	for _, chunk := range candidates {
		for _, e := range chunk {
			if state := e.status(); (status == "" || status == state) && (everyone || query.Matches(e.contract)) {
				list = append(list, listed{e, state})
			}
		}
	}
	return list
}

func (r *Registry) getServices(req *http.Request) (any, error) {
	query := req.URL.Query()
	return r.list(offering(query.Get("capability")), query.Get("status")), nil
}

func (r *Registry) postDiscover(req *http.Request) (any, error) {
	required, err := readDiscovery(req)
	if err != nil {
		return nil, err
	}
	return r.list(required, ""), nil
}

// offering is the requirement of one capability, of none if it is "".
func offering(capability string) (r contract.Requirements) {
	if capability != "" {
		r.Capabilities = []string{capability}
	}
	return r
}

const startOfListing = `{"services":[`

func (l listing) end() string { return `],"count":` + strconv.Itoa(len(l)) + "}" }

func (l listing) contentType() string { return asJSON }

func (l listing) length() int {
	size := len(startOfListing) + max(0, len(l)-1) + len(l.end())
	for i := range l {
		size += len(l[i].entry.listed) + len(l[i].state) + len(endOfListed)
	}
	return size
}

// writeTo writes some services at a time: a list may take megabytes.
func (l listing) writeTo(w io.Writer) {
	const most = 64 << 10
	text := append(make([]byte, 0, min(l.length(), most)), startOfListing...)
	for i := range l {
		one := &l[i]
		if len(text)+len(one.entry.listed) > most-100 {
			if _, err := w.Write(text); err != nil {
				return
			}
			text = text[:0]
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, one.entry.listed...), one.state...), endOfListed...)
	}
	w.Write(append(text, l.end()...))
}
