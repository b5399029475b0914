package mutators

// All lists every mutator, sorted by name, which is the order in which they
// run. No two of them edit one kind, so that the order does not matter.
var All = []*Mutator{
	podIdentity,
	statefulsetGoverningService,
	storageclassRetain,
	volumeRetain,
}
