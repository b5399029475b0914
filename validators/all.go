package validators

// All lists every rule, sorted by name: these, and stayput-annotation.
var All = withStayputAnnotation(
	claimClass,
	claimInUse,
	claimOversizedVolume,
	claimTemplateClass,
	claimTemplateStorage,
	deploymentHostname,
	deploymentSharedClaim,
	deploymentSubdomain,
	podHostnameConflict,
	podIdentitySkipped,
	podSubdomain,
	serviceGoverning,
	statefulsetNameLength,
	statefulsetServiceHeadless,
	statefulsetServiceMissing,
	statefulsetServiceName,
	statefulsetSharedClaim,
	storageclassReclaim,
	volumeInUse,
	volumeReclaim,
	workloadHostPath,
)
