// Package announce names the states of an announcement. The bridge and announcers share them.
package announce

// State is the state of the announcement of a service to an orchestrator.
type State string

// The states of an announcement.
const (
	Registering  State = "registering"  // no answer yet
	Registered   State = "registered"   // the orchestrator confirmed the registration when last asked
	Unavailable  State = "unavailable"  // the orchestrator does not answer
	Unauthorized State = "unauthorized" // the orchestrator refuses the token, or there is none
	Conflict     State = "conflict"     // another contract holds the service's id
	Refused      State = "refused"      // the orchestrator refuses for another reason
	Withdrawn    State = "withdrawn"    // the announcement has ended
)
