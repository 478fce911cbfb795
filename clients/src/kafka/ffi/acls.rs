//! Rights: access control lists, given and taken.

use std::ffi::c_char;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka_sys as sys;
use sys::{
    rd_kafka_AclOperation_t, rd_kafka_AclPermissionType_t, rd_kafka_ResourcePatternType_t, rd_kafka_ResourceType_t,
    rd_kafka_admin_op_t, rd_kafka_resp_err_t,
};

use super::admin::{Owned, array, invalid, no_answer};
use super::client::NativeClient;
use super::{NativeError, WORDS_MAX, c_string, plain, text};

/// A right of somebody, from any host.
pub(in super::super) struct NativeAcl<'a> {
    pub(in super::super) resource: rd_kafka_ResourceType_t,
    pub(in super::super) name: &'a str,
    pub(in super::super) pattern: rd_kafka_ResourcePatternType_t,
    pub(in super::super) principal: &'a str,
    pub(in super::super) operation: rd_kafka_AclOperation_t,
}

/// An entry, as the brokers hold it.
#[derive(Clone, Debug)]
pub(in super::super) struct NativeFoundAcl {
    pub(in super::super) resource: rd_kafka_ResourceType_t,
    pub(in super::super) name: String,
    pub(in super::super) pattern: rd_kafka_ResourcePatternType_t,
    pub(in super::super) operation: rd_kafka_AclOperation_t,
    pub(in super::super) permission: rd_kafka_AclPermissionType_t,
    pub(in super::super) host: String,
}

type New = unsafe extern "C" fn(
    rd_kafka_ResourceType_t,
    *const c_char,
    rd_kafka_ResourcePatternType_t,
    *const c_char,
    *const c_char,
    rd_kafka_AclOperation_t,
    rd_kafka_AclPermissionType_t,
    *mut c_char,
    usize,
) -> *mut sys::rd_kafka_AclBinding_t;

impl NativeClient {
    /// All entries of a principal.
    pub(in super::super) fn describe_acls(
        &self,
        principal: &str,
        timeout: Duration,
    ) -> Result<Vec<NativeFoundAcl>, NativeError> {
        let principal = c_string(principal)?;
        let mut words: [c_char; WORDS_MAX] = [0; WORDS_MAX];
        // SAFETY: the principal ends with NUL and is copied, null stands for any name and host, and `words` has the length
        // that is told.
        let filter = unsafe {
            sys::rd_kafka_AclBindingFilter_new(
                rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_ANY,
                std::ptr::null(),
                rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_ANY,
                principal.as_ptr(),
                std::ptr::null(),
                rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ANY,
                rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
                words.as_mut_ptr(),
                WORDS_MAX,
            )
        };
        // SAFETY: where there is none, librdkafka has written a string.
        let filter = NonNull::new(filter).ok_or_else(|| invalid(unsafe { text(words.as_ptr()) }))?;
        let filter = Owned(filter, sys::rd_kafka_AclBinding_destroy);
        let options = self.options(rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS, timeout)?;
        let answer = self.ask(timeout, |queue| {
            let (filter, options) = (filter.0.as_ptr(), options.0.as_ptr());
            // SAFETY: client, filter, options and queue are alive; what is needed of them is copied.
            unsafe { sys::rd_kafka_DescribeAcls(self.client.as_ptr(), filter, options, queue) }
        })?;
        let mut count = 0;
        // SAFETY: the event is alive, and its entries with it; there are `count` of them. What librdkafka does not know of
        // an entry it calls unknown, which is of the enumerations, too.
        unsafe {
            let result = sys::rd_kafka_event_DescribeAcls_result(answer.0.as_ptr());
            let acls = array(sys::rd_kafka_DescribeAcls_result_acls(result, &raw mut count), count);
            let found = |acl: &*const _| NativeFoundAcl {
                resource: sys::rd_kafka_AclBinding_restype(*acl),
                name: text(sys::rd_kafka_AclBinding_name(*acl)),
                pattern: sys::rd_kafka_AclBinding_resource_pattern_type(*acl),
                operation: sys::rd_kafka_AclBinding_operation(*acl),
                permission: sys::rd_kafka_AclBinding_permission_type(*acl),
                host: text(sys::rd_kafka_AclBinding_host(*acl)),
            };
            Ok(acls.iter().map(found).collect())
        }
    }

    /// Gives rights; those that are there are as good.
    pub(in super::super) fn create_acls(&self, acls: &[NativeAcl<'_>], timeout: Duration) -> Result<(), NativeError> {
        let bindings = bindings(acls, sys::rd_kafka_AclBinding_new)?;
        let options = self.options(rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEACLS, timeout)?;
        let mut pointers: Vec<_> = bindings.iter().map(|binding| binding.0.as_ptr()).collect();
        let answer = self.ask(timeout, |queue| {
            let (first, count, options) = (pointers.as_mut_ptr(), pointers.len(), options.0.as_ptr());
            // SAFETY: client, bindings, options and queue are alive; what is needed of them is copied.
            unsafe { sys::rd_kafka_CreateAcls(self.client.as_ptr(), first, count, options, queue) }
        })?;
        let mut count = 0;
        // SAFETY: the event is alive, and its results and their errors with it; there are `count` of them.
        unsafe {
            let result = sys::rd_kafka_event_CreateAcls_result(answer.0.as_ptr());
            let results = array(sys::rd_kafka_CreateAcls_result_acls(result, &raw mut count), count);
            results.iter().try_for_each(|acl| own_error(sys::rd_kafka_acl_result_error(*acl)))
        }
    }

    /// Takes rights; those that are not there are as good.
    pub(in super::super) fn delete_acls(&self, acls: &[NativeAcl<'_>], timeout: Duration) -> Result<(), NativeError> {
        let filters = bindings(acls, sys::rd_kafka_AclBindingFilter_new)?;
        let options = self.options(rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEACLS, timeout)?;
        let mut pointers: Vec<_> = filters.iter().map(|filter| filter.0.as_ptr()).collect();
        let answer = self.ask(timeout, |queue| {
            let (first, count, options) = (pointers.as_mut_ptr(), pointers.len(), options.0.as_ptr());
            // SAFETY: client, filters, options and queue are alive; what is needed of them is copied.
            unsafe { sys::rd_kafka_DeleteAcls(self.client.as_ptr(), first, count, options, queue) }
        })?;
        let mut count = 0;
        // SAFETY: as above.
        unsafe {
            let result = sys::rd_kafka_event_DeleteAcls_result(answer.0.as_ptr());
            let responses = array(sys::rd_kafka_DeleteAcls_result_responses(result, &raw mut count), count);
            responses.iter().try_for_each(|each| own_error(sys::rd_kafka_DeleteAcls_result_response_error(*each)))
        }
    }
}

/// Bindings, or filters that match just them (the two are one type in C).
fn bindings(acls: &[NativeAcl<'_>], new: New) -> Result<Vec<Owned<sys::rd_kafka_AclBinding_t>>, NativeError> {
    let binding = |acl: &NativeAcl<'_>| {
        let (name, principal, host) = (c_string(acl.name)?, c_string(acl.principal)?, c_string("*")?);
        let mut words: [c_char; WORDS_MAX] = [0; WORDS_MAX];
        // SAFETY: the strings end with NUL and are copied, and `words` has the length that is told.
        let binding = unsafe {
            new(
                acl.resource,
                name.as_ptr(),
                acl.pattern,
                principal.as_ptr(),
                host.as_ptr(),
                acl.operation,
                rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
                words.as_mut_ptr(),
                WORDS_MAX,
            )
        };
        // SAFETY: where there is none, librdkafka has written a string.
        let binding = NonNull::new(binding).ok_or_else(|| invalid(unsafe { text(words.as_ptr()) }))?;
        Ok(Owned(binding, sys::rd_kafka_AclBinding_destroy))
    };
    if acls.is_empty() { Err(no_answer()) } else { acls.iter().map(binding).collect() }
}

/// # Safety
/// An error that belongs to something alive, or null.
unsafe fn own_error(error: *const sys::rd_kafka_error_t) -> Result<(), NativeError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe {
        match sys::rd_kafka_error_code(error) {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(NativeError { words: text(sys::rd_kafka_error_string(error)), ..plain(code) }),
        }
    }
}
