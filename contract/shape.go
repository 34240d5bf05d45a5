package contract

import (
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A shape is one of the forms in which contracts are written.
type shape struct {
	service *tree.Node // the object that holds the service's members
	outer   *tree.Node // the object around it, nil in the flat shape
	idName  string     // what service_id is called there
}

// findShape finds the service in a document: below "contract" (the body of a registration), below "service" (the nested
// shape), or at the top (the flat shape). It returns nil if there is none.
func findShape(root *tree.Node, r *report) *shape {
	if root.Kind != tree.Map {
		r.add(root, "contract/shape", "start with  service:", "a contract must be an object, found %s", root.Describe())
		return nil
	}
	if inner := root.Get("contract"); inner != nil && root.Get("service") == nil && root.Get("service_id") == nil {
		if inner.Kind != tree.Map {
			r.add(inner, "contract/shape", "put the contract itself there", "contract must be an object, found %s", inner.Describe())
			return nil
		}
		onlyBeside(root, "contract", r)
		root = inner
	}
	inner := root.Get("service")
	if inner == nil {
		return &shape{service: root, idName: "service_id"}
	}
	if inner.Kind != tree.Map {
		r.add(inner, "contract/shape", "put id, name, version and so on below it", "service must be an object, found %s", inner.Describe())
		return nil
	}
	onlyBeside(root, "service", r)
	return &shape{service: inner, outer: root, idName: "id"}
}

// onlyBeside reports what stands beside the member that holds the service.
func onlyBeside(root *tree.Node, holder string, r *report) {
	for _, m := range root.Members {
		if m.Key != holder && !strings.HasPrefix(m.Key, "x-") {
			r.addKey(m.Value, "contract/mixed-shape", "move it below "+holder+", or remove it",
				"%q stands beside %q", tree.Shorten(m.Key), holder)
		}
	}
}

// flat returns the service's members in the flat shape.
func (s *shape) flat(r *report) *tree.Node {
	service := s.service
	id, serviceID := service.Get("id"), service.Get("service_id")
	switch {
	case id != nil && serviceID != nil:
		if id.Kind != serviceID.Kind || id.Scalar != serviceID.Scalar {
			r.addKey(id, "contract/both-ids", "keep one of the two", "id and service_id differ")
		}
		service = service.Without("id")
	case id != nil:
		service = service.Without("id").With("service_id", id)
	}
	if s.outer == nil {
		return service
	}
	inner := map[string]bool{}
	for _, m := range service.Members {
		inner[m.Key] = true
	}
	members := slices.Clone(service.Members)
	for _, m := range s.outer.Members {
		if strings.HasPrefix(m.Key, "x-") && !inner[m.Key] {
			members = append(members, m)
		}
	}
	return tree.NewMap(service, members...)
}
