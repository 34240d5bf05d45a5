// Package bridge turns a service contract and a provider into an HTTP server that keeps the contract.
//
// A bridge is a [contract.Contract] plus a [Provider]. [New] binds every part of the contract to code: endpoints to
// routes, schemas to validators, limits to limiters, capabilities to the routes that serve them. What cannot be bound is
// an error of New, so a bridge that starts can keep its word.
//
// An adapter's author writes handlers over plain Go types; the bridge does the rest: it checks requests and responses
// against the contract's schemas, admits no more calls than the contract allows, bounds bodies and time, streams events
// to callers that ask for them, passes cancellation on, and words errors as problem details (RFC 9457) without ever
// showing a caller what was meant for the log.
package bridge
