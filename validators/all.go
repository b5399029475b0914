package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	claimClass,
	claimInUse,
	claimOversizedVolume,
	claimTemplateClass,
	claimTemplateStorage,
	deploymentSharedClaim,
	statefulsetServiceHeadless,
	statefulsetSharedClaim,
	storageclassReclaim,
	volumeInUse,
	volumeReclaim,
}
