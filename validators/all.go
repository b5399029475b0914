package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	claimClass,
	claimInUse,
	claimOversizedVolume,
	claimTemplateClass,
	deploymentSharedClaim,
	statefulsetServiceHeadless,
	statefulsetSharedClaim,
	volumeInUse,
}
