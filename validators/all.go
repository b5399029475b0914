package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	deploymentHostname,
	statefulsetServiceHeadless,
	workloadHostPath,
}
