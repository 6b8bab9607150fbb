package example.orders;

import org.springframework.boot.security.oauth2.server.resource.autoconfigure.JwkSetUriJwtDecoderBuilderCustomizer;
import org.springframework.boot.security.oauth2.server.resource.autoconfigure.OAuth2ResourceServerProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.web.SecurityFilterChain;

/** What Spring Boot does not do with the settings in application.yaml alone. */
@Configuration(proxyBeanMethods = false)
class SecurityConfiguration {

    /** The algorithms of application.yaml: with issuer-uri Boot allows whatever the key set names instead. */
    @Bean
    JwkSetUriJwtDecoderBuilderCustomizer algorithms(OAuth2ResourceServerProperties properties) {
        var names = properties.getJwt().getJwsAlgorithms();
        var allowed = names.stream().map(SignatureAlgorithm::valueOf).toList();
        return decoder -> decoder.jwsAlgorithms(set -> set.addAll(allowed));
    }

    /** Takes the place of Spring's own check, which refuses the at+jwt of RFC 9068 §2.1. */
    @Bean
    JwtTypeValidator typ() {
        return new JwtTypeValidator("JWT", "at+jwt");
    }

    /** A refresh token is signed by the same keys. */
    @Bean
    OAuth2TokenValidator<Jwt> tokenType() {
        return new JwtClaimValidator<>("token_type", "access"::equals);
    }

    /** Without STATELESS each request without a token leaves a session in memory. */
    @Bean
    SecurityFilterChain bearerOnly(HttpSecurity http) {
        return http.authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
            .oauth2ResourceServer(server -> server.jwt(Customizer.withDefaults()))
            .sessionManagement(sessions -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
            .build();
    }
}
