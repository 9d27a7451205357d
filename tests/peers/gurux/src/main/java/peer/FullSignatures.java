package peer;

import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.security.SignatureException;
import java.security.SignatureSpi;
import java.util.Arrays;

/**
 * The JDK's ECDSA, signing again until neither half begins with a zero octet: gurux.dlms loses octets of such a half, so that
 * one of its signatures in two hundred is nobody's.
 */
public final class FullSignatures extends Provider {
  private FullSignatures() {
    super("FullSignatures", "1", "ECDSA without short halves");
    put("Signature.SHA256withECDSA", P256.class.getName());
    put("Signature.SHA384withECDSA", P384.class.getName());
  }

  static void install() {
    Security.insertProviderAt(new FullSignatures(), 1);
  }

  /** Suite 1. */
  public static final class P256 extends Full {
    public P256() throws GeneralSecurityException {
      super("SHA256withECDSA", 32);
    }
  }

  /** Suite 2. */
  public static final class P384 extends Full {
    public P384() throws GeneralSecurityException {
      super("SHA384withECDSA", 48);
    }
  }

  private abstract static class Full extends SignatureSpi {
    private final Signature real;
    private final int half;
    private final ByteArrayOutputStream data = new ByteArrayOutputStream();

    Full(String algorithm, int half) throws GeneralSecurityException {
      this.real = Signature.getInstance(algorithm, "SunEC");
      this.half = half;
    }

    @Override
    protected void engineInitVerify(PublicKey key) throws InvalidKeyException {
      data.reset();
      real.initVerify(key);
    }

    @Override
    protected void engineInitSign(PrivateKey key) throws InvalidKeyException {
      data.reset();
      real.initSign(key);
    }

    @Override
    protected void engineUpdate(byte octet) {
      data.write(octet);
    }

    @Override
    protected void engineUpdate(byte[] octets, int at, int count) {
      data.write(octets, at, count);
    }

    @Override
    protected byte[] engineSign() throws SignatureException {
      byte[] signature;
      do {
        real.update(data.toByteArray());
        signature = real.sign();
      } while (isShort(signature));
      data.reset();
      return signature;
    }

    @Override
    protected boolean engineVerify(byte[] signature) throws SignatureException {
      real.update(data.toByteArray());
      data.reset();
      return real.verify(signature);
    }

    /** Of a DER sequence of two integers. */
    private boolean isShort(byte[] der) {
      int at = (der[1] & 0x80) == 0 ? 2 : 3;
      for (int number = 0; number < 2; number++) {
        int size = der[at + 1];
        BigInteger value = new BigInteger(Arrays.copyOfRange(der, at + 2, at + 2 + size));
        if (value.bitLength() <= 8 * (half - 1)) {
          return true;
        }
        at += 2 + size;
      }
      return false;
    }

    @Override
    @Deprecated
    protected void engineSetParameter(String name, Object value) {
      throw new UnsupportedOperationException(name);
    }

    @Override
    @Deprecated
    protected Object engineGetParameter(String name) {
      throw new UnsupportedOperationException(name);
    }
  }
}
