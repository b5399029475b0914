package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	claimInUse,
	deploymentSharedClaim,
	statefulsetServiceHeadless,
	statefulsetSharedClaim,
	volumeInUse,
}
