//! What the path of a Kubernetes log says: `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log`, or the links in `/var/log/containers`,
//! `POD_NAMESPACE_CONTAINER-ID.log`.

/// Who wrote a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod<'a> {
    /// `k8s.namespace.name`
    pub namespace: &'a str,
    /// `k8s.pod.name`
    pub pod: &'a str,
    /// `k8s.pod.uid`
    pub uid: Option<&'a str>,
    /// `k8s.container.name`
    pub container: &'a str,
    /// `k8s.container.restart_count`
    pub restarts: Option<u64>,
    /// `container.id`
    pub container_id: Option<&'a str>,
}

/// What a path says, where it is one of a pod.
pub fn pod(path: &str) -> Option<Pod<'_>> {
    let mut parts = path.rsplit('/');
    let (file, container, pod, root) = (parts.next()?, parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    if root == "pods" {
        let mut names = pod.splitn(3, '_');
        let (namespace, pod, uid) = (names.next()?, names.next()?, names.next()?);
        let restarts = file.split('.').next().and_then(|number| number.parse().ok());
        return Some(Pod { namespace, pod, uid: Some(uid), container, restarts, container_id: None });
    }
    if container != "containers" {
        return None;
    }
    let mut names = file.strip_suffix(".log")?.splitn(3, '_');
    let (pod, namespace, rest) = (names.next()?, names.next()?, names.next()?);
    let (container, id) = rest.rsplit_once('-')?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(Pod { namespace, pod, container, container_id: Some(id), ..Pod::default() })
}

impl<'a> Pod<'a> {
    /// The attributes of its resource, as OpenTelemetry's semantic conventions name them; `service.name` is the container's name.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
        let Self { namespace, pod, uid, container, container_id, .. } = *self;
        [
            ("service.name", Some(container)),
            ("k8s.namespace.name", Some(namespace)),
            ("k8s.pod.name", Some(pod)),
            ("k8s.pod.uid", uid),
            ("k8s.container.name", Some(container)),
            ("container.id", container_id),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: paths of pods, links to them, rotated ones, and paths of other programs. Guarantees: who wrote it is known without any API.
    #[test]
    fn paths_tell_who_wrote() {
        let found = pod("/var/log/pods/shop_api-7d9_1c9e-22/app/3.log.20260101-000000").unwrap();
        assert_eq!(
            (found.namespace, found.pod, found.uid, found.container),
            ("shop", "api-7d9", Some("1c9e-22"), "app")
        );
        assert_eq!(found.restarts, Some(3));
        assert_eq!(found.attributes().count(), 5);
        let id = "a".repeat(64);
        let path = format!("/var/log/containers/api-7d9_shop_my-app-{id}.log");
        let found = pod(&path).unwrap();
        assert_eq!((found.pod, found.container, found.container_id), ("api-7d9", "my-app", Some(&*id)));
        for other in ["/var/log/syslog", "app.log", "", "/pods/a/b/c", "/var/log/containers/a_b_c.log"] {
            assert_eq!(pod(other), None, "{other}");
        }
    }
}
