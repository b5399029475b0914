package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	claimInUse,
	statefulsetServiceHeadless,
	volumeInUse,
}
