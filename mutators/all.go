package mutators

// All lists every mutator, sorted by name: the order in which they run. The
// order has no effect, because no two of them edit the same kind.
var All = []*Mutator{
	podIdentity,
	statefulsetGoverningService,
	storageclassRetain,
	volumeRetain,
}
