//! From what the SDK says to the closed list.

use crate::objects::{ErrorClass, ObjectError};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::error::Error;

/// The class of a failed request for `what`.
pub(super) fn classify<E>(error: &SdkError<E, HttpResponse>, what: &str) -> ObjectError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let text = chain(error);
    let class = match error {
        SdkError::TimeoutError(_) => ErrorClass::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorClass::Timeout,
        SdkError::DispatchFailure(_) => of_connection(&text),
        SdkError::ResponseError(_) => ErrorClass::NotS3,
        SdkError::ServiceError(service) => of_service(service.err().code(), service.raw().status().as_u16()),
        _ => ErrorClass::Internal,
    };
    let message = match error {
        SdkError::ServiceError(service) => format!(
            "{what}: the store answered {} {} {}",
            service.raw().status().as_u16(),
            service.err().code().unwrap_or("without a code"),
            service.err().message().unwrap_or_default()
        ),
        _ => format!("{what}: {text}"),
    };
    ObjectError::new(class, message.trim_end())
}

/// By the code of the store's answer, or by its status where it has none. `XAdminUserNotFound` is what versitygw says of an unknown key.
fn of_service(code: Option<&str>, status: u16) -> ErrorClass {
    let by_code = match code.unwrap_or_default() {
        "AccessDenied"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AuthorizationHeaderMalformed"
        | "ExpiredToken"
        | "InvalidToken"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "Forbidden"
        | "InvalidSecurity"
        | "NotSignedUp"
        | "MissingAuthenticationToken"
        | "XAdminUserNotFound" => Some(ErrorClass::AccessDenied),
        "NoSuchBucket" => Some(ErrorClass::NoSuchBucket),
        "NoSuchKey" | "NoSuchUpload" => Some(ErrorClass::NotFound),
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestNotYetValid" => Some(ErrorClass::ClockSkew),
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded" => Some(ErrorClass::Throttled),
        "RequestTimeout" => Some(ErrorClass::Timeout),
        "BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" | "IncompleteBody" | "InvalidPart" => {
            Some(ErrorClass::Damaged)
        }
        "InternalError" => Some(ErrorClass::Internal),
        _ => None,
    };
    by_code.unwrap_or(match (code, status) {
        (_, 401 | 403) => ErrorClass::AccessDenied,
        (_, 429 | 503) => ErrorClass::Throttled,
        (_, 408 | 504) => ErrorClass::Timeout,
        (_, 500..) => ErrorClass::Internal,
        // An S3 store names a code for everything else; a 404 without one is no absence.
        (None, _) => ErrorClass::NotS3,
        (Some(_), _) => ErrorClass::Internal,
    })
}

/// By what the connector says: it has no types for these.
fn of_connection(text: &str) -> ErrorClass {
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["dns error", "failed to lookup address", "name or service not known", "no such host"]) {
        ErrorClass::Dns
    } else if says(&["certificate", "tls", "handshake", "corrupt message", "invalidcontenttype"]) {
        ErrorClass::Tls
    } else if says(&["timed out", "timeout"]) {
        ErrorClass::Timeout
    } else if says(&["invalid http", "parse error", "unexpected message", "invalid header"]) {
        ErrorClass::NotS3
    } else {
        ErrorClass::Unreachable
    }
}

/// An error and all its causes, outermost first, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

/// A CRC-32 as S3's headers want it: big-endian, base64.
pub(super) fn base64_crc32(crc32: u32) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u64::from(crc32) << 4;
    let digit = |place: u32| char::from(ALPHABET[(bits >> (30 - 6 * place) & 63) as usize]);
    (0..6).map(digit).chain("==".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_a_store_has_a_class() {
        for (code, status, expected) in [
            (Some("NoSuchKey"), 404, ErrorClass::NotFound),
            (Some("NoSuchUpload"), 404, ErrorClass::NotFound),
            (Some("NoSuchBucket"), 404, ErrorClass::NoSuchBucket),
            (None, 404, ErrorClass::NotS3),
            (Some("AccessDenied"), 403, ErrorClass::AccessDenied),
            (Some("InvalidAccessKeyId"), 403, ErrorClass::AccessDenied),
            (Some("SignatureDoesNotMatch"), 403, ErrorClass::AccessDenied),
            (None, 403, ErrorClass::AccessDenied),
            (Some("SomethingNew"), 403, ErrorClass::AccessDenied),
            (Some("XAdminUserNotFound"), 404, ErrorClass::AccessDenied),
            (Some("RequestTimeTooSkewed"), 403, ErrorClass::ClockSkew),
            (Some("SlowDown"), 503, ErrorClass::Throttled),
            (None, 503, ErrorClass::Throttled),
            (None, 429, ErrorClass::Throttled),
            (Some("RequestTimeout"), 400, ErrorClass::Timeout),
            (None, 504, ErrorClass::Timeout),
            (Some("InternalError"), 500, ErrorClass::Internal),
            (None, 502, ErrorClass::Internal),
            (Some("BadDigest"), 400, ErrorClass::Damaged),
            (None, 400, ErrorClass::NotS3),
            (None, 405, ErrorClass::NotS3),
            (Some("MethodNotAllowed"), 405, ErrorClass::Internal),
        ] {
            assert_eq!(of_service(code, status), expected, "{code:?} {status}");
        }
    }

    #[test]
    fn every_broken_connection_has_a_class() {
        for (text, expected) in [
            ("dispatch failure: io error: client error (Connect): dns error: failed to lookup address information", ErrorClass::Dns),
            ("client error (Connect): invalid peer certificate: UnknownIssuer", ErrorClass::Tls),
            ("client error (Connect): received corrupt message of type InvalidContentType", ErrorClass::Tls),
            ("client error (Connect): tcp connect error: Connection refused (os error 111)", ErrorClass::Unreachable),
            ("connection closed before message completed", ErrorClass::Unreachable),
            ("client error (SendRequest): invalid HTTP version parsed", ErrorClass::NotS3),
            ("tcp connect error: Connection timed out (os error 110)", ErrorClass::Timeout),
        ] {
            assert_eq!(of_connection(text), expected, "{text}");
        }
    }

    #[test]
    fn a_checksum_is_written_as_s3_wants_it() {
        assert_eq!(base64_crc32(0), "AAAAAA==");
        assert_eq!(base64_crc32(0xcbf4_3926), "y/Q5Jg==");
    }
}
