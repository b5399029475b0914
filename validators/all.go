package validators

// All lists every rule, sorted by name: these, and stayput-annotation.
var All = withStayputAnnotation(
	deploymentHostname,
	deploymentSubdomain,
	fieldFixed,
	namespaceData,
	podHostnameConflict,
	podIdentitySkipped,
	podSubdomain,
	serviceGoverning,
	statefulsetServiceHeadless,
	workloadHostPath,
)
