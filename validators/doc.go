// Package validators holds the conventions that stateful workloads must meet,
// one file each, and the engine that reviews an object against them.
//
// # What a rule may use
//
// Beside [Pass.Report] and the lookups of package cluster (Get, List, Find, and
// what it knows of claims, Services and reclaim policies) there are these helpers;
// go doc -u says more of each. A test keeps the list, which has what three rules use.
//
// Workloads and their Pods: containers, replicasOf, ordinals, rolling,
// workloadsBeside, sharing, selected, fewWorkloads, formatSelector, selectorOf,
// selectorLabels, memberLabels, ofPods, inContainers, ofStatefulSet, live, pinned, knownNodes,
// known, meets, probed.
//
// Services: governingService, headlessService, withService, headlessName, newHeadlessName, labelsOfAll,
// addressed, setSelector, alias.
//
// Claims of a StatefulSet: replicaClaims, claimNames, claimFrom, claimAt, Pass.firstClaim,
// deletesWhenDeleted, deletesWhenScaled, destroys, destroysVolume, goesWithClaim.
//
// Any claim: onEphemeral, podClaims, sharedClaims, volumeOf, holdsNothing, onePod,
// exclusive, remade, retainCommand, saveCommand.
//
// Classes and volumes: classOf, listClasses, missingClass, provisions, waits,
// deletes, destroysVolume, offered, provisioned, volumesFor, bestVolume, reservedVolumes, claimGone,
// files, directory.
//
// What runs already: aPod, haveClaim, severalMount.
//
// Texts: notFound, short, cut, flowYAML, nearest, ownClaims. Fixes: setting, removing, adding.
package validators
