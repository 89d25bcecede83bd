//! Who asks: the `Authorization` of a request, and the answer where it proves nothing.
//!
//! Wrong passwords are counted twice: for the connection, which is closed after a few, and for the client's address (`guesses`), which has
//! to wait longer and longer whatever connections it opens.

use super::{Conversation, Step, refuse};
use crate::{
    access::digest::{Asked, Denied},
    api::rtsp::{
        address::Address,
        message::Request,
        response::{Refusal, Status},
    },
    base::Micros,
};
use url::Url;

/// After so many wrong passwords the connection is closed.
pub(super) const DENIALS_MAX: u32 = 5;

impl Conversation {
    /// Who asks; `None` where nobody has to sign in. Else the answer that asks for it.
    pub(super) fn sign_in(
        &mut self,
        request: &Request,
        cseq: u32,
        now: Micros,
    ) -> Result<Option<String>, Box<Step>> {
        let Some(users) = &self.rules.users else {
            return Ok(None);
        };
        let Some(authorization) = request.header("Authorization") else {
            return Err(self.challenge(cseq, false));
        };
        let guesses = &self.rules.guesses;
        if let Some(wait) = guesses.must_wait(self.party.peer, now) {
            let seconds = wait.0.unsigned_abs().div_ceil(1_000_000);
            let why = format!(
                "too many wrong passwords came from this address; try again in {seconds} s"
            );
            let response = refuse(&Refusal::new(Status::Unavailable, why), cseq);
            return Err(Box::new(Step::Answer(
                response.with("Retry-After", seconds.to_string()),
            )));
        }
        let asked = Asked {
            method: (&request.method).into(),
            is_at: &|uri| is_at(uri, request.url.as_ref()),
            basic: self.party.private,
        };
        let stale = match self.nonce.check(users, authorization, asked) {
            Ok(user) => {
                self.signed_in = true;
                return Ok(Some(user.to_owned()));
            }
            Err(Denied::Elsewhere) => {
                let why = "the uri of Authorization is of another stream than the request; write the address of the request";
                let response = refuse(&Refusal::new(Status::BadRequest, why), cseq);
                return Err(Box::new(Step::Answer(response)));
            }
            Err(Denied::Stale) => true,
            Err(Denied::Wrong) => {
                guesses.wrong(self.party.peer, now);
                self.denials += 1;
                false
            }
        };
        Err(self.challenge(cseq, stale))
    }

    /// The answer that asks for a name and a password.
    fn challenge(&self, cseq: u32, stale: bool) -> Box<Step> {
        let why =
            "this needs a user who is signed in; send a name and a password of [rtsp] users_file";
        let response = refuse(&Refusal::new(Status::Unauthorized, why), cseq);
        let offers = self.nonce.challenges(stale, self.party.private).into_iter();
        let response = offers.fold(response, |response, offer| {
            response.with("WWW-Authenticate", offer)
        });
        Box::new(if self.denials >= DENIALS_MAX {
            Step::Close(response)
        } else {
            Step::Answer(response)
        })
    }
}

/// Whether the address that a proof is for is of the stream a request is about. A client may prove the address of the whole stream and ask
/// for a track (live555 does), or leave out scheme and host.
fn is_at(uri: &str, request: Option<&Url>) -> bool {
    // What is about no stream is refused later, or tells nothing.
    let Some((url, of_request)) = request.and_then(|url| Some((url, Address::parse(url).ok()?)))
    else {
        return true;
    };
    let proved = url.join(uri).ok();
    let proved = proved.and_then(|url| Address::parse(&url).ok());
    proved.is_some_and(|proved| proved.is_same_stream(&of_request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_its_stream_in_whatever_words() {
        let request = Url::parse("rtsp://h:8554/gate/sub/trackID=1?x=1").expect("a URL");
        for (uri, good) in [
            ("rtsp://h:8554/gate/sub/trackID=1?x=1", true),
            ("rtsp://h:8554/gate/sub", true),
            ("rtsp://h:8554/gate/sub/", true),
            ("rtsp://other/gate/sub/trackID=0", true),
            ("/gate/sub", true),
            ("rtsp://h:8554/gate", false),
            ("rtsp://h:8554/yard/sub", false),
            ("*", false),
            ("", true),
        ] {
            assert_eq!(is_at(uri, Some(&request)), good, "{uri}");
        }
        assert!(is_at("*", None));
    }
}
